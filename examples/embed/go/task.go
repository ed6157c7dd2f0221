package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Task is a task with its bundle.
type Task struct {
	File  File
	Model *Model
}

// File is task.json, as far as this program uses it; docs/task-file.md says what the fields mean.
type File struct {
	Format, Kind string
	Model        struct {
		Graph, Layout, Precision string
		Context                  int `json:"context_length"`
	}
	Input    struct{ Clean []string }
	Prompt   Prompt
	Choose   Choose
	Generate Generate
	LongText struct {
		Most int `json:"max_prompt_tokens"`
	} `json:"long_text"`
	Tolerance struct{ Logprob, Margin float64 }
	Golden    []Golden
	Variants  []json.RawMessage
}

// Prompt says what the model reads.
type Prompt struct {
	Placeholder string
	IfEmpty     int32 `json:"if_empty"`
	Parts       []struct {
		Text string
		ID   *int32
	}
}

// Choose says how to score given answers.
type Choose struct {
	Choices     []string
	Calibration []float64
	Temperature float64
	Labels      []struct {
		Label   string
		Choices []int
	}
	Rule struct {
		Kind                      string
		Margin, Offset, Threshold float64
	}
}

// Generate says how to write an answer.
type Generate struct {
	Prefix string
	Clean  []string
	Stop   []string
	Ends   []int32 `json:"end_token_ids"`
	After  *int    `json:"sentence_end_after"`
	Length struct {
		Most, Base   int
		PerCharacter int `json:"per_character"`
	} `json:"max_new_tokens"`
	Sampling struct {
		Penalty float64 `json:"repetition_penalty"`
		Bias    float64 `json:"copy_bias"`
	}
}

// Golden is an example with its answer.
type Golden struct {
	Text      string
	Turns     []json.RawMessage
	Needs     []string
	PromptIDs []int32   `json:"prompt_ids"`
	ChoiceIDs [][]int32 `json:"choice_ids"`
	Logprobs  []float64
	Label     string
	Most      int `json:"max_new_tokens"`
	IDs       []int32
	Margins   []float64
	Output    string
	Reason    string `json:"finish_reason"`
}

// OpenTask loads a bundle; precision names one of its graphs, by default the first.
func OpenTask(directory, precision string) (*Task, error) {
	text, err := os.ReadFile(filepath.Join(directory, "task.json"))
	if err != nil {
		return nil, err
	}
	task := &Task{}
	if err := json.Unmarshal(text, &task.File); err != nil {
		return nil, err
	}
	if task.File.Format != "nlpsuite.task/1" {
		return nil, fmt.Errorf("task.json is %q, not nlpsuite.task/1", task.File.Format)
	}
	if task.File.Model.Layout != "portable" {
		return nil, errors.New("the bundle has another graph; export it with --layout portable")
	}
	if precision != "" && precision != task.File.Model.Precision {
		if err := task.File.use(precision); err != nil {
			return nil, err
		}
	}
	task.Model, err = OpenModel(directory, task.File.Model.Graph)
	return task, err
}

// use puts what is different for another graph in the place of the fields of the same name.
func (f *File) use(precision string) error {
	for _, text := range f.Variants {
		var variant File
		if err := json.Unmarshal(text, &variant); err != nil {
			return err
		}
		if variant.Model.Precision == precision {
			f.Golden = nil // or examples would be mixed with the first graph's
			return json.Unmarshal(text, f)
		}
	}
	return fmt.Errorf("this bundle has no %s graph", precision)
}
