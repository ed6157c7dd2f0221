package main

import (
	"strings"
	"unicode/utf8"
)

// Written is an answer that was written.
type Written struct {
	Prompt, IDs  []int32
	Text, Reason string
}

// Write writes an answer by greedy decoding, of at most so many tokens; 0: as the task says.
func (t *Task) Write(given string, most int) (*Written, error) {
	settings := &t.File.Generate
	text := clean(given, t.File.Input.Clean)
	prompt, err := t.encodePrompt(text, "")
	if err != nil {
		return nil, err
	}
	if most == 0 {
		most = least(settings.Length.Most, settings.Length.Base+settings.Length.PerCharacter*utf8.RuneCountInString(text))
	}
	reader, err := t.Model.NewReader(t.File.Model.Context)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	row := &Written{Prompt: prompt}
	written, draw := "", newDrawer(settings, prompt)
	for feed := prompt; row.Reason == ""; {
		logits, err := reader.Read(feed, 1)
		if err != nil {
			return nil, err
		}
		next := draw.next(logits[0], row.IDs)
		if row.Reason, err = t.ended(next, row.IDs, written); err != nil || row.Reason != "" {
			break
		}
		row.IDs, feed = append(row.IDs, next), []int32{next}
		if written, err = t.Model.Decode(row.IDs); err != nil {
			return nil, err
		}
		at := firstOf(written, settings.Stop)
		switch {
		case at >= 0:
			written, row.Reason = written[:at], "stop"
		case len(row.IDs) >= most:
			row.Reason = "length"
		case len(prompt)+len(row.IDs) >= t.File.Model.Context:
			row.Reason = "context"
		}
	}
	row.Text = clean(settings.Prefix+written, settings.Clean)
	return row, err
}

// ended says why the text ends before the token; empty if it goes on.
func (t *Task) ended(next int32, ids []int32, written string) (string, error) {
	settings := &t.File.Generate
	for _, end := range settings.Ends {
		if next == end {
			return "stop", nil
		}
	}
	if settings.After == nil || len(ids) < *settings.After || !endsSentence(written) {
		return "", nil
	}
	piece, err := t.Model.Decode([]int32{next})
	if piece != strings.TrimLeftFunc(piece, isSpace) {
		return "sentence", err
	}
	return "", err
}

// Whether a sentence ends at the end of a text, closing quotes and brackets aside.
func endsSentence(text string) bool {
	end, _ := utf8.DecodeLastRuneInString(strings.TrimRight(text, `"')]}»”’」』）】`))
	return strings.ContainsRune(".!?。！？…", end)
}

// firstOf finds the first of several marks; -1 if there is none.
func firstOf(text string, marks []string) int {
	found := -1
	for _, mark := range marks {
		if at := strings.Index(text, mark); at >= 0 && (found < 0 || at < found) {
			found = at
		}
	}
	return found
}

// drawer picks tokens.
type drawer struct {
	settings  *Generate
	seen      map[int32]bool
	followers map[[2]int32]map[int32]bool // of two tokens in the prompt
}

func newDrawer(settings *Generate, prompt []int32) *drawer {
	found := &drawer{settings, map[int32]bool{}, map[[2]int32]map[int32]bool{}}
	for i := 2; i < len(prompt); i++ {
		pair := [2]int32{prompt[i-2], prompt[i-1]}
		if found.followers[pair] == nil {
			found.followers[pair] = map[int32]bool{}
		}
		found.followers[pair][prompt[i]] = true
	}
	return found
}

func (d *drawer) next(logits []float64, ids []int32) int32 {
	for id := range d.seen {
		if logits[id] > 0 {
			logits[id] /= d.settings.Sampling.Penalty
		} else {
			logits[id] *= d.settings.Sampling.Penalty
		}
	}
	if n := len(ids); n >= 2 {
		for id := range d.followers[[2]int32{ids[n-2], ids[n-1]}] {
			logits[id] += d.settings.Sampling.Bias
		}
	}
	next := int32(argmax(logits))
	d.seen[next] = true
	return next
}
