package story

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// Chapter is a sentence and the commands that show it.
type Chapter struct {
	Title string
	Steps []Step
}

// Step is one command of a story.
type Step struct {
	Command string

	expect []Expectation
	// fails is true when the command has to fail for the story to be true.
	fails bool
	// again is true when it is run until the output is as expected; only the last is shown.
	again bool
	limit time.Duration
}

// Run is a command that has to succeed and show something.
func Run(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout}
}

// Refused is a command that has to fail and show something.
func Refused(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout, fails: true}
}

// Until is a command that is run again and again until it shows something.
func Until(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout, again: true}
}

// Within gives a step another limit than two minutes.
func (s Step) Within(limit time.Duration) Step {
	s.limit = limit
	return s
}

// Teller tells a story: it prints commands, runs them, and shows what they say.
type Teller struct {
	Out io.Writer
	// Prepare makes a command that ends with ctx. env are variables, as NAME=value, to add to its
	// environment.
	Prepare func(ctx context.Context, env []string, name string, args ...string) *exec.Cmd

	exported []string
}

// Tell shows one chapter. The error names the command that did not do as expected.
func (t *Teller) Tell(ctx context.Context, c Chapter) error {
	for _, s := range c.Steps {
		if err := t.do(ctx, s); err != nil {
			return fmt.Errorf("%q: %w", c.Title, err)
		}
	}
	return nil
}

func (t *Teller) do(ctx context.Context, s Step) error {
	fmt.Fprintf(t.Out, "\n$ %s\n", s.Command)
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("not so within %s", s.limit))
	defer cancel()
	if assignment, ok := strings.CutPrefix(s.Command, "export "); ok {
		value, err := t.shell(ctx, "echo -n "+assignment, io.Discard)
		t.exported = append(t.exported, value)
		return s.judge("", err)
	}
	if !s.again {
		output, err := t.shell(ctx, s.Command, t.Out)
		return s.judge(output, err)
	}
	output, err := t.repeat(ctx, s)
	fmt.Fprint(t.Out, output)
	return err
}

// repeat runs a step until it does as expected, and returns what it said last.
func (t *Teller) repeat(ctx context.Context, s Step) (string, error) {
	ticker := time.NewTicker(againEvery)
	defer ticker.Stop()
	for {
		output, err := t.shell(ctx, s.Command, io.Discard)
		wrong := s.judge(output, err)
		if wrong == nil {
			return output, nil
		}
		select {
		case <-ctx.Done():
			return output, errors.Join(context.Cause(ctx), wrong)
		case <-ticker.C:
		}
	}
}

// judge compares what a command did with what the story says.
func (s Step) judge(output string, err error) error {
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return fmt.Errorf("running it: %w", err)
	case s.fails && err == nil:
		return fmt.Errorf("expected that this fails, and it did not: %s", s.Command)
	case !s.fails && err != nil:
		return fmt.Errorf("expected that this succeeds, and it ended with %w: %s\nIt says:\n%s", err, s.Command, output)
	}
	for _, expect := range s.expect {
		if wrong := expect(output); wrong != nil {
			return fmt.Errorf("%w, as it should after: %s\nIt says:\n%s", wrong, s.Command, output)
		}
	}
	return nil
}

// shell runs a line as bash would take it from a person, and copies what it says.
func (t *Teller) shell(ctx context.Context, line string, copies io.Writer) (string, error) {
	var output bytes.Buffer
	cmd := t.Prepare(ctx, t.exported, "bash", "-o", "pipefail", "-c", line)
	both := io.MultiWriter(&output, copies)
	cmd.Stdout, cmd.Stderr = both, both
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return output.String(), err
}
