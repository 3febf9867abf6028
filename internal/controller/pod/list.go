package pod

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

const (
	// pageSize is how many pods one request lists.
	pageSize = 500
	// maxStuck is the most pods that one pass keeps, and maxStuckOf the most of one
	// namespace. Only pods that can be repaired count. Further pods of a namespace
	// have their turn when these are repaired, or have used up their repairs.
	maxStuck, maxStuckOf = 1000, 100
	// maxSince is the most pods of which is remembered since when they fail.
	maxSince = 10 * maxStuck
	// maxPod is the most that is kept of a pod, in bytes. A larger pod is not repaired.
	maxPod = 64 << 10
)

// stuck is a pod that cannot pull an image.
type stuck struct {
	namespace, name string
	uid             types.UID
	version         string
	pod             rewrite.Pod
	// failing are the containers that wait for an image, and that can be changed.
	failing []rewrite.Place
	// unstarted are the containers that wait for one of the failing ones, and that can be changed with it.
	unstarted []rewrite.Place
	// since is when the pod was first seen to fail.
	since time.Time
}

// rewritten reports whether an image that the pod waits for is to come from the mirror at an address.
func (s stuck) rewritten(address string) bool {
	return slices.ContainsFunc(slices.Concat(s.failing, s.unstarted), func(at rewrite.Place) bool {
		_, is := s.pod.Rewritten(address, at)
		return is
	})
}

// key orders pods as lists do.
func (s stuck) key() string { return s.namespace + "/" + s.name }

func (s stuck) fails(p rewrite.Place) bool { return has(s.failing, p) }

// waits reports whether the container at a place runs nothing that a change of its image would end.
func (s stuck) waits(p rewrite.Place) bool { return s.fails(p) || has(s.unstarted, p) }

func has(places []rewrite.Place, p rewrite.Place) bool {
	return slices.ContainsFunc(places, func(at rewrite.Place) bool { return at.String() == p.String() })
}

// kept is a pod that can be repaired, and how.
type kept struct {
	stuck
	todo decision
	// fault is why nothing could be decided.
	fault error
}

// listed is the part of a pod that is read.
type listed struct {
	Metadata struct {
		rewrite.Metadata
		Namespace         string       `json:"namespace"`
		Name              string       `json:"name"`
		UID               types.UID    `json:"uid"`
		ResourceVersion   string       `json:"resourceVersion"`
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec   rewrite.Spec `json:"spec"`
	Status struct {
		Containers []containerStatus `json:"containerStatuses"`
		Init       []containerStatus `json:"initContainerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	Name  string `json:"name"`
	State struct {
		Waiting struct {
			Reason string `json:"reason"`
		} `json:"waiting"`
	} `json:"state"`
}

// unpulled are the reasons for which a container waits when its image cannot be pulled.
var unpulled = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true}

// unstarted is the reason for which a container waits until the init containers before it have ended.
const unstarted = "PodInitializing"

// stuck returns the pod, and true if a container that can be changed waits for its image.
func (l *listed) stuck() (stuck, bool) {
	waiting := map[string]string{}
	for list, all := range map[string][]containerStatus{rewrite.Containers: l.Status.Containers, rewrite.Init: l.Status.Init} {
		for _, s := range all {
			waiting[rewrite.Place{List: list, Name: s.Name}.String()] = s.State.Waiting.Reason
		}
	}
	m := l.Metadata
	s := stuck{namespace: m.Namespace, name: m.Name, uid: m.UID, version: m.ResourceVersion, pod: rewrite.Pod{Metadata: lean(m.Metadata), Spec: l.Spec}}
	size := 0
	for _, at := range s.pod.Places() {
		size += len(at.Image)
		switch reason := waiting[at.String()]; {
		case !at.Mutable():
		case unpulled[reason]:
			s.failing = append(s.failing, at.Place)
		case reason == unstarted:
			s.unstarted = append(s.unstarted, at.Place)
		}
	}
	for name, value := range s.pod.Metadata.Annotations {
		size += len(name) + len(value)
	}
	return s, len(s.failing) > 0 && size <= maxPod && m.DeletionTimestamp == nil
}

// lean returns the part of a pod's metadata that a decision needs.
func lean(m rewrite.Metadata) rewrite.Metadata {
	kept := rewrite.Metadata{}
	if m.Labels[v1alpha1.LabelMirror] == v1alpha1.MirrorDisabled {
		kept.Labels = map[string]string{v1alpha1.LabelMirror: v1alpha1.MirrorDisabled}
	}
	for _, name := range []string{v1alpha1.AnnotationOriginalImages, v1alpha1.AnnotationImageRepairs, rewrite.StaticPod} {
		if value, ok := m.Annotations[name]; ok {
			if kept.Annotations == nil {
				kept.Annotations = map[string]string{}
			}
			kept.Annotations[name] = value
		}
	}
	return kept
}

// lists reads pods from the API server as streams.
type lists struct{ api rest.Interface }

func newLists(kube *rest.Config, through *http.Client) (*lists, error) {
	api, err := livelist.Streams(kube, through)
	return &lists{api}, err
}

// errEnough ends a list before its end.
var errEnough = errors.New("there are enough")

// stuck lists the pods of a phase that cannot pull an image, in a namespace or, for "", in all.
func (l *lists) stuck(ctx context.Context, namespace string, phase corev1.PodPhase, each func(stuck) error) error {
	for token := ""; ; {
		meta, err := l.page(ctx, namespace, phase, token, each)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing pods: %w", err)
		}
		if token = meta.Continue; token == "" {
			return nil
		}
	}
}

// page reads one page of a list.
func (l *lists) page(ctx context.Context, namespace string, phase corev1.PodPhase, token string, each func(stuck) error) (metav1.ListMeta, error) {
	q := l.api.Get().AbsPath("api", "v1")
	if namespace != "" {
		q = q.Namespace(namespace)
	}
	q = q.Resource("pods").Param("limit", strconv.Itoa(pageSize)).Param("fieldSelector", "status.phase="+string(phase))
	if token != "" {
		q = q.Param("continue", token)
	}
	return livelist.Page(ctx, q, "PodList", func(one livelist.Decoder) error { return giveStuck(one, each) })
}

// giveStuck decodes a pod, and passes it to each if it cannot pull an image.
func giveStuck(one livelist.Decoder, each func(stuck) error) error {
	var p listed
	if err := one.Decode(&p); err != nil {
		return fmt.Errorf("reading a Pod: %w", err)
	}
	if s, is := p.stuck(); is {
		return each(s)
	}
	return nil
}
