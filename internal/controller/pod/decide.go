package pod

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// maxRepairs is how often the images of a pod are changed at most. The last change is to its own images.
	maxRepairs = 3
	// repairPause is the shortest time between two changes.
	repairPause = 5 * time.Minute
	// mirrorPatience is how long nodes may fail to pull an image that the mirror has.
	mirrorPatience = time.Minute
)

// facts are what a decision depends on, besides the pod.
type facts struct {
	rules rewrite.Rules
	// selected is true if the images of the namespace's workloads are mirrored.
	selected bool
	// own is true if pods keep their own images unless the webhook has rewritten them. That
	// is so in kube-system, because the registry may need these pods before it can answer.
	own bool
	// unreachable is true if no node has a ready agent, through which it could pull.
	unreachable bool
	// state returns what the mirror has of an image for the namespace.
	state func(rewrite.Image) v1alpha1.MirrorState
	// now is the API server's time, with which repairs are recorded.
	now time.Time
	// failing is how long the pod has failed to pull.
	failing time.Duration
}

// decision is what to do about a pod.
type decision struct {
	changes []rewrite.Change
	// pod is the pod with the changes.
	pod rewrite.Pod
	// reason and why are the reason and note of the event.
	reason, why string
	// repairs is the annotation that counts the repairs.
	repairs string
	// wanted are images that the pod waits for, and that have no Artifact.
	wanted []rewrite.Image
}

// decide is pure. Restoring a pod's own images takes precedence. It
// points a pod at the mirror only if one more change is left after that.
func decide(s stuck, f facts) decision {
	var d decision
	count, last := repairsOf(s.pod.Metadata.Annotations)
	may := count < maxRepairs && f.now.Sub(last) >= repairPause
	_, static := s.pod.Metadata.Annotations[rewrite.StaticPod]
	if static {
		return d
	}
	whys, wanted := lacking(s, s.failing, f)
	d.wanted = append(wanted, unasked(s, f)...)
	d.pod = s.pod
	if len(whys) > 0 {
		others, _ := lacking(s, s.unstarted, f) // these would fail next
		maps.Copy(whys, others)
		d.reason = v1alpha1.ReasonImageFromSource
		d.changes = d.pod.Restore(f.rules.Address(), func(p rewrite.Place) bool { return whys[p.String()] != "" })
	} else if f.selected && !f.own && !f.unreachable {
		d.reason = v1alpha1.ReasonImageFromMirror
		d.changes = d.pod.Rewrite(f.rules, func(i rewrite.Image) bool { return f.state(i) == v1alpha1.MirrorPresent }, s.waits)
		d.changes = present(d.changes, f)
		may = may && count+1 < maxRepairs
	}
	if !may || len(d.changes) == 0 {
		return decision{wanted: d.wanted}
	}
	d.why = said(d.reason, d.changes, whys)
	d.repairs = fmt.Sprintf("%d %s", count+1, f.now.UTC().Format(time.RFC3339))
	return d
}

// lacking returns, for the places whose images come from the mirror, why the
// pod cannot get them from there, and which of these images have no Artifact.
func lacking(s stuck, places []rewrite.Place, f facts) (whys map[string]string, wanted []rewrite.Image) {
	whys = map[string]string{}
	for _, at := range places {
		i, rewritten := s.pod.Rewritten(f.rules.Address(), at)
		if !rewritten {
			continue
		}
		why, unknown := mirrorFails(i, f)
		if unknown {
			wanted = append(wanted, i)
		}
		if why != "" {
			whys[at.String()] = why
		}
	}
	return whys, wanted
}

// unasked returns the images that a pod cannot pull from their sources, and that have no Artifact.
func unasked(s stuck, f facts) []rewrite.Image {
	var all []rewrite.Image
	for i, places := range s.pod.Mirrored(f.rules) {
		missed := slices.ContainsFunc(places, func(at rewrite.Place) bool {
			_, rewritten := s.pod.Rewritten(f.rules.Address(), at)
			return !rewritten && s.fails(at)
		})
		if f.selected && missed && f.state(i) == "" {
			all = append(all, i)
		}
	}
	return all
}

// present returns the changes if the mirror has all of their images, and
// none otherwise. With the policy Always, Rewrite does not check this.
func present(changes []rewrite.Change, f facts) []rewrite.Change {
	for _, c := range changes {
		if f.state(c.Image) != v1alpha1.MirrorPresent {
			return nil
		}
	}
	return changes
}

// mirrorFails returns why a pod cannot get an image from the mirror;
// "" if it still may. unknown is true if the image has no Artifact.
func mirrorFails(i rewrite.Image, f facts) (why string, unknown bool) {
	if f.rules.Policy() == v1alpha1.RewriteNever {
		return "pods do not pull from the mirror any more", false
	}
	state := f.state(i)
	if f.rules.Policy() == v1alpha1.RewriteAlways && f.selected {
		switch state {
		case "", v1alpha1.MirrorPending, v1alpha1.MirrorCopying, v1alpha1.MirrorPresent, v1alpha1.MirrorCorrupt:
			return "", state == "" // as the policy demands, however long the mirror does not answer
		case v1alpha1.MirrorFailed, v1alpha1.MirrorReleasing:
		}
	}
	switch {
	case state == "":
		return "the mirror does not have it", true
	case state != v1alpha1.MirrorPresent:
		return fmt.Sprintf("the mirror does not have it (%s)", state), false
	case f.failing >= mirrorPatience:
		return fmt.Sprintf("the mirror has it, and the node could not pull it for %s", f.failing.Round(time.Second)), false
	}
	return "", false
}

// said returns the note of the event.
func said(reason string, changes []rewrite.Change, whys map[string]string) string {
	var parts []string
	for _, c := range changes {
		if reason == v1alpha1.ReasonImageFromMirror {
			parts = append(parts, fmt.Sprintf("%s could not be pulled, and the mirror has it: %s now pulls %s", c.From, c.Place, c.To))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s could not be pulled (%s): %s now pulls %s", c.From, whys[c.String()], c.Place, c.To))
	}
	return strings.Join(parts, ". ")
}

// repairsOf parses the annotation that counts repairs. An invalid count is 0.
func repairsOf(annotations map[string]string) (count int, last time.Time) {
	number, at, _ := strings.Cut(annotations[v1alpha1.AnnotationImageRepairs], " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return 0, time.Time{}
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return n, time.Time{}
	}
	return n, t
}
