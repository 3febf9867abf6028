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
	// stepTimeout is the default limit for one command, including the repetitions of Until.
	stepTimeout = 2 * time.Minute
	// againEvery is the time between two runs of a command that is repeated until its output is as expected.
	againEvery = time.Second
)

// Chapter is a sentence and the commands that demonstrate it.
type Chapter struct {
	Title string
	Steps []Step
}

// Step is one command of a story.
type Step struct {
	Command string

	expect []Expectation
	// fails is true if the command is expected to fail.
	fails bool
	// again is true if the command is repeated until its output is as expected. Only the last output is printed.
	again bool
	limit time.Duration
}

// Run is a step whose command must succeed with the expected output.
func Run(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout}
}

// Refused is a step whose command must fail with the expected output.
func Refused(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout, fails: true}
}

// Until is a step whose command is repeated until it succeeds with the expected output.
func Until(command string, expect ...Expectation) Step {
	return Step{Command: command, expect: expect, limit: stepTimeout, again: true}
}

// Within replaces the step's limit of two minutes.
func (s Step) Within(limit time.Duration) Step {
	s.limit = limit
	return s
}

// Teller tells a story: it prints the commands, runs them and prints their output.
type Teller struct {
	Out io.Writer
	// Prepare makes a command that ends with ctx. env has variables, as NAME=value, to add to the command's environment.
	Prepare func(ctx context.Context, env []string, name string, args ...string) *exec.Cmd

	exported []string
}

// Tell runs one chapter and stops at the first command that did not do what
// was expected. The error includes the chapter's title and that command.
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

// repeat runs a step until it does what is expected, and returns the last output.
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

// judge compares the result of a command with what the step expects.
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

// shell runs a line with bash. It writes the output, standard error included, to copies and returns it.
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
