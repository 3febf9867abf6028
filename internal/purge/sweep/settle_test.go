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
		why    plan.Reason
		say    string
		want   string
	}{
		"Plain":           {"word and sentence", "", plan.Held, "so it is", "Held: so it is"},
		"I6Tag":           {"that the tag is ours is not forgotten", "TagDeleteUnsupported: x", plan.Held, "so it is", "TagDeleteUnsupported: Held: so it is"},
		"I6Again":         {"nor said twice", "TagDeleteUnsupported: Held: so it was", plan.Held, "so it is", "TagDeleteUnsupported: Held: so it is"},
		"I5Taken":         {"nor that something else was pushed, so that the undo waits no more", "TagTaken: x", plan.InUse, "so it is", "TagTaken: InUse: so it is"},
		"Long":            {"the API takes 1024 bytes", "", plan.Held, long, "Held: " + strings.Repeat("é", 507) + "..."},
		"I2Unreadable":    {"a tag was there when the registry answered last", "Tagged: by prod", plan.Unreadable, "no answer", "Tagged: by prod"},
		"I2UnreadableOwn": {"so it was beside our tag", "TagDeleteUnsupported: SharedTag: prod", plan.Unreadable, "no answer", "TagDeleteUnsupported: SharedTag: prod"},
		"UnreadableHeld":  {"nothing was known of the registry", "Held: so it was", plan.Unreadable, "no answer", "Unreadable: no answer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := reasonOf(plan.Verdict{Reason: tc.why, Message: tc.say}, v1alpha1.TombstoneArtifactStatus{Reason: tc.was})
			if got != tc.want || len(got) > maxReason {
				t.Errorf("%s: reasonOf = %q (%d bytes), want %q", tc.reason, got, len(got), tc.want)
			}
		})
	}
}
