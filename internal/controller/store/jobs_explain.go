package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/purge/cronjob"
)

// maxQuote is the most of an event, or of a container's message, that a condition quotes, in bytes.
const maxQuote = 512

const (
	imageRemedy  = "Check that the nodes can pull the image; pull secrets belong to the ServiceAccount of the CronJob."
	volumeRemedy = "Check the claim that spec.purge.persistentVolumeClaim names."
)

// remediesForPods are the remedies for a pod, by the reason that Kubernetes gives.
var remediesForPods = map[string]string{
	"ErrImagePull":                imageRemedy,
	"ImagePullBackOff":            imageRemedy,
	"ErrImageNeverPull":           imageRemedy,
	"InvalidImageName":            imageRemedy,
	"FailedMount":                 volumeRemedy,
	"FailedAttachVolume":          volumeRemedy,
	"OOMKilled":                   "Raise the memory limit of purge pods (purge.resources in the chart's values).",
	corev1.PodReasonUnschedulable: "Make room on a node that the pod may run on, or lower the requests of purge pods (purge.resources in the chart's values).",
}

// notStarted judges the waiting Job by what was read of its pod. It
// returns nil if the Job is about to start, or is between two tries.
func (r purgeRuns) notStarted(j *batchv1.Job, wake *alarm) *trouble {
	wake.at(r.now.Add(startPatience)) // the pod's reason may change, and nothing watches pods
	f := r.facts[j.UID]
	pending := f.pod != nil && f.pod.Status.Phase == corev1.PodPending
	switch {
	case j.Spec.Suspend != nil && *j.Spec.Suspend:
		return r.stuck(j, v1alpha1.ReasonNotStarted, "is suspended", "Set its spec.suspend to false.")
	case pending && r.now.Before(f.pod.CreationTimestamp.Add(startPatience)):
		wake.at(f.pod.CreationTimestamp.Add(startPatience))
	case pending:
		reason, text := waitsWith(f.pod, f.warning)
		return r.stuck(j, v1alpha1.ReasonNotStarted, fmt.Sprintf("has not started: pod %s %s", f.pod.Name, text),
			cmp.Or(remediesForPods[reason], describe("pod", j.Namespace, f.pod.Name)))
	case f.warning.text != "" && f.warning.at.After(stoppedAt(f.pod)):
		return r.stuck(j, v1alpha1.ReasonFailedCreate, "cannot create its pod: "+f.warning.text,
			"Change what refuses it, such as a ResourceQuota, a LimitRange or a policy of the namespace, or purge.resources in the chart's values.")
	case f.err != nil:
		return r.stuck(j, v1alpha1.ReasonNotStarted, fmt.Sprintf("has no running pod, and the reason cannot be read (%s)", quote(f.err.Error())), describe("job", j.Namespace, j.Name))
	case f.pod == nil && j.Status.Failed == 0:
		return r.stuck(j, v1alpha1.ReasonNotStarted, "has not started: it has no pod, and no event says why", describe("job", j.Namespace, j.Name))
	}
	return nil
}

// stuck returns the trouble with an unfinished Job: what is wrong, what to do, and what happens after that.
func (r purgeRuns) stuck(j *batchv1.Job, reason, what, remedy string) *trouble {
	text := fmt.Sprintf("Job %s/%s %s. %s Kubernetes then starts it automatically. If you change the image or purge.resources, delete the Job too, which keeps its template: `kubectl delete job -n %s %s`.",
		j.Namespace, j.Name, what, remedy, j.Namespace, j.Name)
	if slices.ContainsFunc(r.cron.Status.Active, func(o corev1.ObjectReference) bool { return o.UID == j.UID }) {
		text += " No scheduled purge starts while this Job is unfinished."
	}
	return &trouble{reason, text}
}

// hasFailed judges a failed Job. It returns nil if its run wrote a result, which says why it failed.
func (r purgeRuns) hasFailed(j *batchv1.Job) *trouble {
	end, _ := conclusion(j)
	f := r.facts[j.UID]
	began := begun(j)
	if end.Reason == batchv1.JobReasonDeadlineExceeded { // the run that was ended does not know about it
		began = end.LastTransitionTime.Time
	} else if t := startedAt(f.pod); !t.IsZero() {
		began = t
	}
	if r.recordedSince(began) {
		return nil
	}
	reason, text := stoppedWith(f.pod)
	remedy := remediesForPods[reason]
	switch {
	case text != "":
		remedy = cmp.Or(remedy, fmt.Sprintf("`kubectl logs -n %s job/%s` shows more.", j.Namespace, j.Name))
	case f.warning.text != "":
		text = "it could not create its pod: " + f.warning.text
	default:
		text = cmp.Or(quote(end.Message), "no pod of it is left")
	}
	return &trouble{v1alpha1.ReasonFailed, fmt.Sprintf("Job %s/%s failed with %s: %s. %s To purge at once: `kubectl create job -n %s --from=cronjob/%s NAME`.",
		j.Namespace, j.Name, end.Reason, text, cmp.Or(remedy, describe("job", j.Namespace, j.Name)), j.Namespace, r.cron.Name)}
}

// isLate returns the trouble with a run that was due and has not started.
func (r purgeRuns) isLate(due time.Time) *trouble {
	text := fmt.Sprintf("No purge has started since one was due at %s.", rfc3339(due))
	if w := r.facts[r.cron.UID].warning; w.text != "" {
		text += fmt.Sprintf(" The newest warning about CronJob %s/%s is %s: %s.", r.cron.Namespace, r.cron.Name, w.reason, w.text)
	}
	return &trouble{v1alpha1.ReasonLate, text + " Check that kube-controller-manager runs and that nothing refuses Jobs in the namespace. " + describe("cronjob", r.cron.Namespace, r.cron.Name)}
}

func describe(kind, namespace, name string) string {
	return fmt.Sprintf("`kubectl describe %s -n %s %s` shows more.", kind, namespace, name)
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// waitsWith returns the reason why a pod does not run, "" for none, and a text: what
// a container waits for, or that no node accepts the pod, or else the newest warning.
func waitsWith(pod *corev1.Pod, w warning) (reason, text string) {
	reason, message := tellsWhy(pod)
	switch {
	case reason == "" && w.text != "":
		return w.reason, fmt.Sprintf("is Pending: %s: %s", w.reason, w.text)
	case reason == "":
		return "", "is Pending, and no event says why"
	case message == "":
		return reason, "is Pending with " + reason
	}
	return reason, fmt.Sprintf("is Pending with %s: %s", reason, message)
}

// tellsWhy returns why a pod does not run according to its own status; "" if the status does not say.
func tellsWhy(pod *corev1.Pod) (reason, message string) {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return w.Reason, quote(w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason, quote(c.Message)
		}
	}
	return "", ""
}

// stoppedWith returns the reason why a pod has ended without success, and
// a text about it; "" for a pod that has not, or that does not exist.
func stoppedWith(pod *corev1.Pod) (reason, text string) {
	if pod == nil {
		return "", ""
	}
	c := terminated(pod)
	switch {
	case pod.Status.Reason != "": // such as Evicted
		return pod.Status.Reason, strings.TrimSuffix(fmt.Sprintf("pod %s ended with %s: %s", pod.Name, pod.Status.Reason, quote(pod.Status.Message)), ": ")
	case c == nil:
		return "", ""
	}
	text = fmt.Sprintf("pod %s exited with code %d", pod.Name, c.ExitCode)
	if c.Reason != "" && c.Reason != "Error" {
		text = fmt.Sprintf("pod %s ended with %s (exit code %d)", pod.Name, c.Reason, c.ExitCode)
	}
	return c.Reason, strings.TrimSuffix(text+": "+quote(lastWords(c.Message)), ": ")
}

// terminated returns how the purge's container ended, or else another container that failed; nil if none failed.
func terminated(pod *corev1.Pod) (found *corev1.ContainerStateTerminated) {
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		if c.State.Terminated == nil || c.State.Terminated.ExitCode == 0 {
			continue
		}
		if found == nil || c.Name == cronjob.ContainerName {
			found = c.State.Terminated
		}
	}
	return found
}

// startedAt and stoppedAt return when the failed container started and ended; zero if none failed.
func startedAt(pod *corev1.Pod) (t time.Time) {
	if pod != nil {
		if c := terminated(pod); c != nil {
			t = c.StartedAt.Time
		}
	}
	return t
}

func stoppedAt(pod *corev1.Pod) (t time.Time) {
	if pod != nil {
		if c := terminated(pod); c != nil {
			t = c.FinishedAt.Time
		}
	}
	return t
}

// lastWords returns the part of a container's termination message to quote. If the message
// is the end of its log, that is the error that ended the container, or else the last line.
func lastWords(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	for _, line := range slices.Backward(lines) {
		for _, begins := range []string{"Error: ", "panic: ", "fatal error: "} {
			if text, found := strings.CutPrefix(line, begins); found {
				return text
			}
		}
	}
	return lines[len(lines)-1]
}

// quote makes text from other sources one line of at most maxQuote bytes, without a full stop.
func quote(text string) string {
	return v1alpha1.Clip(strings.TrimSuffix(strings.Join(strings.Fields(v1alpha1.Line(text)), " "), "."), maxQuote)
}
