package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// stepTimeout is for one command; those that wait have shorter limits of their own.
	stepTimeout = 2 * time.Minute
	// againEvery is how often a command is run again that waits for its output.
	againEvery = time.Second
)

// chapter is a line of narration and the commands that show it.
type chapter struct {
	title string
	steps []step
}

// step is one command of the story.
type step struct {
	command string
	expect  []expectation
	// fails is true when the command has to fail for the story to be true.
	fails bool
	// again is true when it is run until the output is as expected; only the last is shown.
	again bool
}

// run is a command that has to succeed and show something.
func run(command string, expect ...expectation) step { return step{command: command, expect: expect} }

// refused is a command that has to fail and show something.
func refused(command string, expect ...expectation) step {
	return step{command: command, expect: expect, fails: true}
}

// until is a command that is run again and again until it shows something.
func until(command string, expect ...expectation) step {
	return step{command: command, expect: expect, again: true}
}

// teller tells a story: it prints commands, runs them, and shows what they say.
type teller struct {
	env *environment
	out io.Writer
	// vars are what the story has exported, as NAME=value.
	vars []string
}

func (t *teller) tell(ctx context.Context, chapters []chapter) error {
	for i, c := range chapters {
		fmt.Fprintf(t.out, "\n# %d. %s\n", i+1, c.title)
		for _, s := range c.steps {
			if err := t.do(ctx, s); err != nil {
				return fmt.Errorf("chapter %d, %q: %w", i+1, c.title, err)
			}
		}
	}
	return nil
}

func (t *teller) do(ctx context.Context, s step) error {
	fmt.Fprintf(t.out, "\n$ %s\n", s.command)
	if assignment, ok := strings.CutPrefix(s.command, "export "); ok {
		t.vars = append(t.vars, os.Expand(assignment, t.value))
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stepTimeout, fmt.Errorf("not so within %s", stepTimeout))
	defer cancel()
	if !s.again {
		output, err := t.shell(ctx, s.command, t.out)
		return s.judge(output, err)
	}
	var output string
	var wrong error
	err := poll(ctx, againEvery, func() (bool, error) {
		var err error
		output, err = t.shell(ctx, s.command, io.Discard)
		wrong = s.judge(output, err)
		return wrong == nil, nil
	})
	fmt.Fprint(t.out, output)
	if err != nil {
		return errors.Join(err, wrong)
	}
	return nil
}

// judge compares what a command did with what the story says.
func (s step) judge(output string, err error) error {
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return fmt.Errorf("running it: %w", err)
	case s.fails && err == nil:
		return fmt.Errorf("expected that this fails, and it did not: %s", s.command)
	case !s.fails && err != nil:
		return fmt.Errorf("expected that this succeeds, and it ended with %w: %s", err, s.command)
	}
	for _, expect := range s.expect {
		if wrong := expect(output); wrong != nil {
			return fmt.Errorf("%w, as it should after: %s\nIt says:\n%s", wrong, s.command, output)
		}
	}
	return nil
}

// shell runs a line as bash would take it from a person, and copies what it says.
func (t *teller) shell(ctx context.Context, line string, copies io.Writer) (string, error) {
	var output bytes.Buffer
	cmd := t.env.prepare(ctx, t.vars, "bash", "-o", "pipefail", "-c", line)
	both := io.MultiWriter(&output, copies)
	cmd.Stdout, cmd.Stderr = both, both
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return output.String(), err
}

// value is a variable that the story can use in its exports.
func (t *teller) value(name string) string {
	if name == "REGISTRY" {
		return t.env.registryHost()
	}
	return os.Getenv(name)
}
