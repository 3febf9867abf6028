package passtest

import (
	"strings"
	"testing"
	"unicode/utf8"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
	"github.com/nfo-operator/nfo/internal/reference"
)

// Holders returns one definition that holds nginx:~1.0.0.
func Holders() []reference.Holder {
	return []reference.Holder{{
		Object:     reference.Object{Kind: v1alpha1.KindDefinition, Namespace: "ns", Name: "nfdv"},
		References: []reference.Reference{{Artifact: "nginx", Version: "~1.0.0", Application: "app"}},
	}}
}

// Outline returns conditions without their messages, as Type=Status/Reason,
// sorted. It leaves out Migrated and Complete, which have their own tests.
func Outline(cs pass.Conditions) string {
	var all []metav1.Condition
	cs.Apply(&all, 1)
	var out []string
	for _, c := range all {
		if c.Type != v1alpha1.ConditionMigrated && c.Type != v1alpha1.ConditionComplete {
			out = append(out, c.Type+"="+string(c.Status)+"/"+c.Reason)
		}
	}
	return strings.Join(out, " ")
}

// Migrated fails the test unless the condition Migrated is as wanted
// (status/reason) and its message has all texts in this order.
func Migrated(t *testing.T, reason string, cs pass.Conditions, want string, says ...string) {
	t.Helper()
	var all []metav1.Condition
	cs.Apply(&all, 1)
	c := apimeta.FindStatusCondition(all, v1alpha1.ConditionMigrated)
	if c == nil {
		t.Fatalf("%s: no condition Migrated", reason)
	}
	if got := string(c.Status) + "/" + c.Reason; got != want {
		t.Errorf("%s: Migrated is %s, want %s: %s", reason, got, want, c.Message)
	}
	at := 0
	for _, text := range says {
		i := strings.Index(c.Message[at:], text)
		if i < 0 {
			t.Errorf("%s: %q does not say %q, or not in that order", reason, c.Message, text)
			continue
		}
		at += i
	}
}

// CutBetweenCharacters fails the test unless shown cuts texts that
// are too long between two characters, to at most most bytes.
func CutBetweenCharacters(t *testing.T, reason string, most int, shown func(text string) string) {
	t.Helper()
	for shift := range 4 { // one of them would cut the character of 3 bytes
		got := shown(strings.Repeat("x", shift) + strings.Repeat("€", most))
		if len(got) > most || len(got) < most-4 || !utf8.ValidString(got) || !strings.HasSuffix(got, "€...") {
			t.Errorf("%s: %d bytes end in %q", reason, len(got), got[max(0, len(got)-10):])
		}
	}
}
