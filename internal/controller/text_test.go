package controller

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nfo-operator/nfo/internal/chart"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// Texts of charts and registries can be long and in any language.
func TestTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		most   int
		shown  func(text string) string
	}{
		"Condition": {"the API server refuses a longer message", maxMessage, func(text string) string {
			var cs conditions
			cs.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonFailed, text)
			return cs[0].Message
		}},
		"Event": {"the API server refuses a longer note", maxNote, func(text string) string {
			to := events.NewFakeRecorder(1)
			tell(to, &v1alpha1.ArtifactManifest{}, "Normal", "Reason", "Acting", text)
			return strings.TrimPrefix(<-to.Events, "Normal Reason ")
		}},
		"Problem": {"the schema bounds it", maxProblem, func(text string) string {
			return chartToRead{}.with(chart.Chart{}, "", v1alpha1.RegistryLocation{}, errors.New(text)).Problem
		}},
		"Remark": {"the schema bounds it", maxProblem, func(text string) string {
			return chartToRead{}.with(chart.Chart{Remarks: []string{text}}, "", v1alpha1.RegistryLocation{}, nil).Remark
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for shift := range 4 { // one of them would cut the character of 3 bytes
				text := strings.Repeat("x", shift) + strings.Repeat("€", tc.most)
				got := tc.shown(text)
				if len(got) > tc.most || len(got) < tc.most-4 || !utf8.ValidString(got) || !strings.HasSuffix(got, "€...") {
					t.Errorf("%s: %d bytes end in %q", tc.reason, len(got), got[max(0, len(got)-10):])
				}
			}
		})
	}
}
