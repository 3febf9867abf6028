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
	// maxRepairs is how often the images of a pod are changed. The last time is to its own.
	maxRepairs = 3
	// repairPause is the least time between two changes.
	repairPause = 5 * time.Minute
	// mirrorPatience is how long nodes may fail to pull what the mirror has.
	mirrorPatience = time.Minute
)

// facts are what a decision is made of, beside the pod.
type facts struct {
	rules rewrite.Rules
	// selected: the workloads of the namespace are mirrored.
	selected bool
	// own: pods that the webhook has left alone keep their own images, as in kube-system, whose pods the registry itself may
	// need before it can answer.
	own bool
	// unreachable: no node has an agent that is ready, from which it could pull.
	unreachable bool
	// state is what the mirror has of an image for the namespace.
	state func(rewrite.Image) v1alpha1.MirrorState
	// now is the API server's time, by which repairs are noted.
	now time.Time
	// failing is for how long the pod has failed to pull.
	failing time.Duration
}

// decision is what to do about a pod.
type decision struct {
	changes []rewrite.Change
	// pod is the pod with the changes.
	pod rewrite.Pod
	// reason and why are those of the event.
	reason, why string
	// repairs is the annotation that counts them.
	repairs string
	// wanted are images that the pod waits for, and that the mirror does not have.
	wanted []rewrite.Image
}

// decide is pure. A pod goes back to its own images first, and to the mirror only with a change to spare.
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
		others, _ := lacking(s, s.unstarted, f) // which would fail next
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

// lacking says of the places whose images are the mirror's why the pod cannot have them from there, and which of them
// nobody has asked the mirror for.
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

// unasked are the images that a pod cannot pull from their sources, and that nobody has asked the mirror for.
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

// present reports the changes if the mirror has all of their images: with the policy Always, Rewrite does not ask.
func present(changes []rewrite.Change, f facts) []rewrite.Change {
	for _, c := range changes {
		if f.state(c.Image) != v1alpha1.MirrorPresent {
			return nil
		}
	}
	return changes
}

// mirrorFails says why a pod cannot have an image of the mirror; "" if it may still get it. unknown: nobody has
// asked the mirror for it.
func mirrorFails(i rewrite.Image, f facts) (why string, unknown bool) {
	if f.rules.Policy() == v1alpha1.RewriteNever {
		return "pods do not pull from the mirror any more", false
	}
	state := f.state(i)
	if f.rules.Policy() == v1alpha1.RewriteAlways && f.selected {
		switch state {
		case "", v1alpha1.MirrorPending, v1alpha1.MirrorCopying, v1alpha1.MirrorPresent, v1alpha1.MirrorCorrupt:
			return "", state == "" // as the policy wants it, however long the mirror does not answer
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

// said is the note of an event.
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

// repairsOf reads the annotation. One that cannot be read counts as none.
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
