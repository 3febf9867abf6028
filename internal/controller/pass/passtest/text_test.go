package passtest

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/pass"
)

// Texts of charts and registries can be long and in any language. A cut within a character would make them invalid.
func TestTextsAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		most   int
		shown  func(text string) string
	}{
		"Condition": {"the API server refuses a longer message", v1alpha1.MaxMessage, func(text string) string {
			var cs pass.Conditions
			cs.Set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonFailed, text)
			return cs[0].Message
		}},
		"Event": {"the API server refuses a longer note", pass.MaxNote, func(text string) string {
			to := events.NewFakeRecorder(1)
			pass.Tell(to, &v1alpha1.ArtifactManifest{}, "Normal", "Reason", "Acting", text)
			return strings.TrimPrefix(<-to.Events, "Normal Reason ")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			CutBetweenCharacters(t, tc.reason, tc.most, tc.shown)
		})
	}
}
