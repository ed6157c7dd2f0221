package main

import (
	"math"
	"strings"
)

// Choice is an answer that was chosen.
type Choice struct {
	Label    string
	Logprobs []float64
	Rows     [][]int32 // prompt and choice, of each
}

// Choose scores the choices.
func (t *Task) Choose(given string) (*Choice, error) {
	text := clean(given, t.File.Input.Clean)
	prompt, err := t.encodePrompt(text, "")
	if err != nil {
		return nil, err
	}
	found := &Choice{}
	shared := len(prompt) // the beginning that all rows and the prompt share; each row has one token more at least
	for _, choice := range t.File.Choose.Choices {
		row, err := t.encodePrompt(text, choice)
		if err != nil {
			return nil, err
		}
		shared = least(shared, len(row)-1)
		for i := 0; i < shared; i++ {
			if row[i] != prompt[i] {
				shared = i
			}
		}
		found.Rows = append(found.Rows, row)
	}
	if shared == 0 {
		shared = 1
	}
	for _, row := range found.Rows {
		score, err := t.score(row, shared)
		if err != nil {
			return nil, err
		}
		found.Logprobs = append(found.Logprobs, score)
	}
	found.Label = t.File.Choose.label(found.Logprobs)
	return found, nil
}

// score gives the log-probability of a row's tokens after the first.
func (t *Task) score(row []int32, first int) (float64, error) {
	reader, err := t.Model.NewReader(t.File.Model.Context)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	logits, err := reader.Read(row[:len(row)-1], len(row)-first)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for i, after := range logits {
		sum += after[row[first+i]] - logTotal(after)
	}
	return sum, nil
}

// label decides by the choices' log-probabilities.
func (c *Choose) label(logprobs []float64) string {
	var scores []float64 // of the labels that have choices: the mean of theirs
	for _, label := range c.Labels {
		sum := 0.0
		for _, i := range label.Choices {
			adjusted := logprobs[i]
			if c.Calibration != nil {
				adjusted -= c.Calibration[i]
			}
			sum += adjusted / c.Temperature
		}
		if len(label.Choices) > 0 {
			scores = append(scores, sum/float64(len(label.Choices)))
		}
	}
	values := c.probabilities(scores)
	left := 1.0
	for _, value := range values {
		left -= value
	}
	best, most, all := "", -1.0, []string{}
	for _, label := range c.Labels {
		value := left
		if len(label.Choices) > 0 {
			value, values = values[0], values[1:]
		}
		if value > most {
			best, most = label.Label, value
		}
		if value >= c.Rule.Threshold {
			all = append(all, label.Label)
		}
	}
	if c.Rule.Kind == "independent" {
		return strings.Join(all, "; ")
	}
	return best
}

func (c *Choose) probabilities(scores []float64) []float64 {
	values := make([]float64, len(scores))
	switch c.Rule.Kind {
	case "softmax":
		total := logTotal(scores)
		for i, score := range scores {
			values[i] = math.Exp(score - total)
		}
	case "independent":
		for i, score := range scores {
			values[i] = logistic(score - c.Rule.Offset)
		}
	default: // ordered
		odds := scores[0] - scores[1]
		values[0], values[1] = logistic(odds-c.Rule.Margin), logistic(-odds-c.Rule.Margin)
	}
	return values
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// logTotal gives the logarithm of the sum of exponentials.
func logTotal(values []float64) float64 {
	most := values[argmax(values)]
	sum := 0.0
	for _, value := range values {
		sum += math.Exp(value - most)
	}
	return most + math.Log(sum)
}

func argmax(values []float64) int {
	best := 0
	for i, value := range values {
		if value > values[best] {
			best = i
		}
	}
	return best
}

func least(a, b int) int {
	if a < b {
		return a
	}
	return b
}
