package sweep

import (
	"strings"
	"testing"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/plan"
)

func TestReasonOf(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 1000)
	tests := map[string]struct {
		reason string
		was    string
		say    string
		want   string
	}{
		"Plain":   {"word and sentence", "", "so it is", "Held: so it is"},
		"I6Tag":   {"that the tag is ours is not forgotten", "TagDeleteUnsupported: x", "so it is", "TagDeleteUnsupported: Held: so it is"},
		"I6Again": {"nor said twice", "TagDeleteUnsupported: Held: so it was", "so it is", "TagDeleteUnsupported: Held: so it is"},
		"Long":    {"the API takes 1024 bytes", "", long, "Held: " + strings.Repeat("é", 507) + "..."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := reasonOf(plan.Verdict{Reason: plan.Held, Message: tc.say}, v1alpha1.TombstoneArtifactStatus{Reason: tc.was})
			if got != tc.want || len(got) > maxReason {
				t.Errorf("%s: reasonOf = %q (%d bytes), want %q", tc.reason, got, len(got), tc.want)
			}
		})
	}
}
