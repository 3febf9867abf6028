package v1alpha1

import (
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReconcileNow(t *testing.T) {
	t.Parallel()
	with := func(value string) metav1.Object {
		return &ArtifactStore{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationReconcileNow: value}}}
	}
	none := &ArtifactStore{}
	tests := map[string]struct {
		reason string
		of     []metav1.Object
		last   string
		want   string
		asks   bool
	}{
		"None":       {"nobody asked", []metav1.Object{none, none}, "", "", false},
		"Taken away": {"the annotation was removed, which asks for nothing", []metav1.Object{none}, "1", "", false},
		"New":        {"the first value", []metav1.Object{with("1")}, "", "1", true},
		"Same":       {"each value counts once", []metav1.Object{with("1")}, "1", "1", false},
		"Another":    {"any new value counts", []metav1.Object{with("2")}, "1", "2", true},
		"Of both":    {"the store speaks for its manifest", []metav1.Object{with("1"), with("2")}, "1", "1,2", true},
		"Of one":     {"of the store alone", []metav1.Object{none, with("2")}, "2", "2", false},
		"Line":       {"it is shown", []metav1.Object{with("a\nb")}, "", "a b", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ReconcileNow(tc.of...)
			if got != tc.want || ReconcilesNow(got, tc.last) != tc.asks {
				t.Errorf("%s: %q, which asks: %t", tc.reason, got, ReconcilesNow(got, tc.last))
			}
		})
	}
	long := with(strings.Repeat("€", 200))
	if got := ReconcileNow(long, long); len(got) > 257 || !utf8.ValidString(got) {
		t.Errorf("a long value is not bounded: %d bytes", len(got))
	}
}
