package main

import (
	"fmt"
	"strings"
)

// What the format calls white space.
func isSpace(r rune) bool {
	switch {
	case r >= 0x09 && r <= 0x0d, r >= 0x1c && r <= 0x20, r >= 0x2000 && r <= 0x200a:
		return true
	}
	return strings.ContainsRune("\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", r)
}

func clean(text string, steps []string) string {
	for _, step := range steps {
		switch step {
		case "strip":
			text = strings.TrimFunc(text, isSpace)
		case "strip_start":
			text = strings.TrimLeftFunc(text, isSpace)
		case "strip_end":
			text = strings.TrimRightFunc(text, isSpace)
		case "collapse_whitespace":
			text = strings.Join(strings.FieldsFunc(text, isSpace), " ")
		}
	}
	return text
}

// encodePrompt gives the tokens of the prompt for a cleaned text, with a choice behind it.
func (t *Task) encodePrompt(text, choice string) ([]int32, error) {
	var ids []int32
	waiting := "" // text parts without a token between them are one text
	flush := func() error {
		more, err := t.Model.Encode(waiting)
		ids, waiting = append(ids, more...), ""
		return err
	}
	for _, part := range t.File.Prompt.Parts {
		if part.ID == nil {
			waiting += strings.ReplaceAll(part.Text, t.File.Prompt.Placeholder, text)
			continue
		}
		if err := flush(); err != nil {
			return nil, err
		}
		ids = append(ids, *part.ID)
	}
	waiting += choice
	if err := flush(); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		ids = append(ids, t.File.Prompt.IfEmpty)
	}
	if most := t.File.LongText.Most; len(ids) > most {
		return nil, fmt.Errorf("the text is too long: its prompt has %d tokens of at most %d", len(ids), most)
	}
	return ids, nil
}
