// Do a task with its bundle.
//
//	nlpsuite export --task sentiment -o exported/sentiment
//	./task exported/sentiment "I love it." "It broke after a week."
//	./task -check exported/sentiment
//
// Texts longer than the task's limit are refused, not split; a translation is of one sentence or line.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	check := flag.Bool("check", false, "do the golden examples")
	precision := flag.String("precision", "", "another of the bundle's graphs: fp32, fp16, int8, int4")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "Usage: task [-check] [-precision NAME] DIRECTORY [TEXT ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() < 1 {
		flag.Usage()
		os.Exit(2)
	}
	wrong, err := run(flag.Arg(0), *precision, *check, flag.Args()[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v.\n", err)
	}
	if err != nil || wrong > 0 {
		os.Exit(1)
	}
}

func run(directory, precision string, check bool, texts []string) (int, error) {
	task, err := OpenTask(directory, precision)
	if err != nil {
		return 0, err
	}
	defer task.Model.Close()
	if check {
		return task.Check()
	}
	for _, text := range texts {
		answer, err := task.answer(text)
		if err != nil {
			return 0, err
		}
		fmt.Println(answer)
	}
	return 0, nil
}

func (t *Task) answer(text string) (string, error) {
	if t.File.Kind == "choose" {
		found, err := t.Choose(text)
		if err != nil {
			return "", err
		}
		return found.Label, nil
	}
	found, err := t.Write(text, 0)
	if err != nil {
		return "", err
	}
	return found.Text, nil
}
