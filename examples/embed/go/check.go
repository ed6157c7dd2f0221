package main

import (
	"fmt"
	"math"
	"strings"
)

// Check does the golden examples, prints what differs, and gives the number of examples that do.
func (t *Task) Check() (int, error) {
	wrong, skipped := 0, 0
	for _, golden := range t.File.Golden {
		needs, examine := golden.Needs, t.checkChoice
		if t.File.Kind == "generate" {
			examine = t.checkText
		}
		if len(golden.Turns) > 0 {
			needs = append(needs, "turns")
		}
		if len(needs) > 0 {
			skipped++
			fmt.Printf("%q: skipped, needs %s\n", golden.Text, strings.Join(needs, ", "))
			continue
		}
		problem, err := examine(golden)
		if err != nil {
			return wrong, err
		}
		if problem != "" {
			wrong++
			fmt.Printf("%q: %s\n", golden.Text, problem)
		}
	}
	all := len(t.File.Golden) - skipped
	fmt.Printf("%d of %d golden examples agree.\n", all-wrong, all)
	return wrong, nil
}

func (t *Task) checkChoice(golden Golden) (string, error) {
	found, err := t.Choose(golden.Text)
	if err != nil {
		return "", err
	}
	off := 0.0
	for i, row := range found.Rows {
		if !same(row, append(append([]int32(nil), golden.PromptIDs...), golden.ChoiceIDs[i]...)) {
			return "other tokens", nil
		}
		off = math.Max(off, math.Abs(found.Logprobs[i]-golden.Logprobs[i]))
	}
	if !(off <= t.File.Tolerance.Logprob) { // as NaN isn't
		return fmt.Sprintf("log-probabilities off by %g", off), nil
	}
	if label := t.File.Choose.label(golden.Logprobs); label != golden.Label {
		return fmt.Sprintf("%s instead of %s", label, golden.Label), nil
	}
	return "", nil
}

func (t *Task) checkText(golden Golden) (string, error) {
	row, err := t.Write(golden.Text, golden.Most)
	if err != nil {
		return "", err
	}
	if !same(row.Prompt, golden.PromptIDs) {
		return "other tokens", nil
	}
	for i := 0; i < least(len(row.IDs), len(golden.IDs)); i++ {
		if row.IDs[i] != golden.IDs[i] {
			if golden.Margins[i] <= t.File.Tolerance.Margin {
				return "", nil // almost as likely: what follows can't be compared
			}
			return fmt.Sprintf("another token at %d", i), nil
		}
	}
	if row.Text != golden.Output || row.Reason != golden.Reason {
		return fmt.Sprintf("%q (%s) instead of %q (%s)", row.Text, row.Reason, golden.Output, golden.Reason), nil
	}
	return "", nil
}

func same(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
