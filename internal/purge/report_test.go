package purge

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
)

func aReport(dryRun bool) Report {
	r := Report{Store: "publisher/acme", URL: "https://registry.example.com/acme", DryRun: dryRun, Started: now, Ended: now.Add(1500 * time.Millisecond), Outcome: v1alpha1.PurgeSucceeded}
	r.judged([]plan.Verdict{
		{Repository: repo, Digest: d("a"), Delete: true, Reason: "Released", Tombstones: []string{"t1", "t2"}},
		{Repository: repo, Digest: d("b"), Delete: true, Missing: true, Reason: "Released", Message: "it is not in the registry any more", Tombstones: []string{"t1"}},
		{Repository: repo, Digest: d("c"), Reason: plan.Tagged, Message: `tag "v1" points at it`, Tombstones: []string{"t1"}},
	})
	return r
}

func TestWriteTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := aReport(false).WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("there are %d lines, want a head, 3 digests and the summary:\n%s", len(lines), out.String())
	}
	for i, want := range []string{"VERDICT", "tombstones t1, t2", "not in the registry any more", `tag "v1" points at it`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, without %q", i, lines[i], want)
		}
	}
	if want := "publisher/acme: Succeeded: 1 deleted, 1 kept (1 Tagged), in 1.5s"; lines[4] != want {
		t.Errorf("the summary is %q, want %q", lines[4], want)
	}
}

func TestWriteTableOfNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := Report{Store: "publisher/acme", Outcome: v1alpha1.PurgeDryRun, DryRun: true, Message: "so it is"}
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	if want := "publisher/acme: DryRun: 0 would be deleted, 0 kept, in 0s. so it is\n"; out.String() != want {
		t.Errorf("the table is %q, want %q", out.String(), want)
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := aReport(true).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"repository": repo, "digest": d("a").String(), "delete": true, "reason": "Released", "tombstones": []any{"t1", "t2"},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("the first line: -want +got\n%s", diff)
	}
	var last Report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if !last.DryRun || last.Deleted != 1 || last.Kept[plan.Tagged] != 1 {
		t.Errorf("the summary is %+v", last)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errCrashed }

func TestWriteFails(t *testing.T) {
	t.Parallel()
	r := aReport(false)
	if err := r.WriteTable(full{}); !errors.Is(err, errCrashed) {
		t.Errorf("WriteTable says %v", err)
	}
	if err := r.WriteJSON(full{}); !errors.Is(err, errCrashed) {
		t.Errorf("WriteJSON says %v", err)
	}
}

// A report is shown in a terminal and contains text from a registry. The test finds control characters that are not escaped.
func TestReportsCanBeShown(t *testing.T) {
	t.Parallel()
	const hostile = "refused\x1b[2J\u202e\u2066\u009b31m"
	const controls = "\x1b\r\u202e\u2066\u009b"
	r := aReport(false)
	r.Verdicts[0].Message = hostile + "\r\ndelete\tReleased\tacme/fake"
	r.Message = hostile
	var table, lines bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&lines)); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(table.String()+lines.String(), controls) {
		t.Errorf("%q and %q, want none of what controls a terminal", table.String(), lines.String())
	}
	if want := len(r.Verdicts) + 2; strings.Count(table.String(), "\n") != want || !strings.Contains(table.String(), "refused?[2J?31m") {
		t.Errorf("%q, want %d lines with what can be shown of the message", table.String(), want)
	}
	var first plan.Verdict
	if err := json.Unmarshal([]byte(strings.SplitN(lines.String(), "\n", 2)[0]), &first); err != nil || first.Message != r.Verdicts[0].Message {
		t.Errorf("%v: %q, want the message as it is: %q", err, first.Message, r.Verdicts[0].Message)
	}
	if line := oneLine(errors.New(hostile + "\npublisher/acme: Succeeded")); strings.ContainsAny(line, controls+"\n") {
		t.Errorf("an error is %q, want one line that can be shown", line)
	}
	if run := r.run(r.Ended); strings.ContainsAny(run.Message, controls) {
		t.Errorf("the status says %q, want nothing that controls a terminal", run.Message)
	}
}
