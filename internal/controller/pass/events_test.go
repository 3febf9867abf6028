package pass

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestTransitionsAreAnnouncedOnce(t *testing.T) {
	t.Parallel()
	is := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
	}
	down := is(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, "Unavailable", "no answer")
	blocked := is(v1alpha1.ConditionDeletionBlocked, metav1.ConditionTrue, "InUse", "in use")
	free := is(v1alpha1.ConditionDeletionBlocked, metav1.ConditionFalse, "Released", "free")
	untagged := is(v1alpha1.ConditionUntagged, metav1.ConditionTrue, "Untagged", "in tombstone t")
	tests := map[string]struct {
		reason        string
		before, after []metav1.Condition
		want          []string
	}{
		"New":       {"nothing was said before", nil, []metav1.Condition{down}, []string{"Warning Unavailable no answer"}},
		"Same":      {"it was said", []metav1.Condition{down}, []metav1.Condition{down}, nil},
		"Reworded":  {"other words for the same are no news", []metav1.Condition{down}, []metav1.Condition{is(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, "Unavailable", "still none")}, nil},
		"Changed":   {"it is well again", []metav1.Condition{down}, []metav1.Condition{is(v1alpha1.ConditionUploaded, metav1.ConditionTrue, "Complete", "all")}, []string{"Normal Complete all"}},
		"Twice":     {"two conditions say the same", nil, []metav1.Condition{is(v1alpha1.ConditionComplete, metav1.ConditionUnknown, "Unavailable", "no answer"), down}, []string{"Warning Unavailable no answer"}},
		"Both":      {"two conditions say two things", nil, []metav1.Condition{is(v1alpha1.ConditionComplete, metav1.ConditionFalse, "MissingImage", "an image"), down}, []string{"Warning MissingImage an image", "Warning Unavailable no answer"}},
		"Unsaid":    {"Ready sums up the others", nil, []metav1.Condition{is(v1alpha1.ConditionReady, metav1.ConditionFalse, "Unavailable", "no answer")}, nil},
		"Blocked":   {"the one condition whose True warns", nil, []metav1.Condition{blocked}, []string{"Warning InUse in use"}},
		"Unblocked": {"and whose False does not", []metav1.Condition{blocked}, []metav1.Condition{free}, []string{"Normal Released free"}},
		"Free":      {"nobody waits to hear of a deletion that nothing has blocked", nil, []metav1.Condition{free}, nil},
		"Untagged":  {"what became of its tags says that it is released", []metav1.Condition{blocked}, []metav1.Condition{free, untagged}, []string{"Normal Untagged in tombstone t"}},
		"Later":     {"but not what became of them earlier", []metav1.Condition{blocked, untagged}, []metav1.Condition{free, untagged}, []string{"Normal Released free"}},
		"Pending":   {"not yet known is not a warning", nil, []metav1.Condition{is(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, v1alpha1.ReasonPending, "soon")}, []string{"Normal Pending soon"}},
		"Restoring": {"that it is restored is said when it is", nil, []metav1.Condition{is(v1alpha1.ConditionUploaded, metav1.ConditionFalse, v1alpha1.ReasonRestoring, "soon")}, nil},
		"TooLong":   {"the API takes no longer note", nil, []metav1.Condition{is(v1alpha1.ConditionUploaded, metav1.ConditionUnknown, "Unknown", strings.Repeat("x", 2000))}, []string{"Warning Unknown " + strings.Repeat("x", MaxNote-3) + "..."}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder := events.NewFakeRecorder(10)
			Announce(recorder, &v1alpha1.ArtifactManifest{}, tc.before, tc.after)
			close(recorder.Events)
			var got []string
			for e := range recorder.Events {
				got = append(got, e)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got\n%s", tc.reason, diff)
			}
		})
	}
}
