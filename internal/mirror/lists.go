package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/internal/livelist"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// pagesAtOnce bounds the pages that are read at a time, by all who ask: of each, one object is in memory, which tenants
// can make as large as the API server lets them. A place is given back after each page, so that large lists leave some to others.
const pagesAtOnce = 4

// listed is a kind whose objects are read.
type listed struct {
	root, resource, kind string
	// page is how many objects one request lists, and pages how many of these are made.
	page, pages int
}

// podSpec is what is read of a pod.
type podSpec struct {
	rewrite.Spec
	Account string      `json:"serviceAccountName"`
	Secrets secretNames `json:"imagePullSecrets"`
}

// uses reports whether a pod has a container or a volume of an image, by either of its names.
func (s *podSpec) uses(image rewrite.Image, address string) bool {
	is := func(text string) bool {
		if i, ok := rewrite.Original(text, address); ok {
			return i == image
		}
		i, err := rewrite.Parse(text)
		return err == nil && i == image
	}
	pod := rewrite.Pod{Spec: s.Spec}
	return slices.ContainsFunc(pod.Places(), func(at rewrite.Named) bool { return is(at.Image) })
}

// secretNames is what is read of a list of pull secrets. In a ServiceAccount nobody else bounds how many there are, and how
// long.
type secretNames struct {
	// first are the first ones that Secrets can have, as many as are tried.
	first []string
	// some reports whether there is any name, also one that no Secret can have.
	some bool
}

// UnmarshalJSON reads names one by one, and ends when no more are kept.
func (s *secretNames) UnmarshalJSON(text []byte) error {
	list := json.NewDecoderCaseSensitivePreserveInts(bytes.NewReader(text))
	begin, err := list.Token()
	if err != nil || begin == nil {
		return err
	}
	if fmt.Sprint(begin) != "[" {
		return errors.New("imagePullSecrets is not a list")
	}
	for list.More() && len(s.first) < maxLogins {
		var ref struct {
			Name string `json:"name"`
		}
		if err := list.Decode(&ref); err != nil {
			return err
		}
		s.some = s.some || ref.Name != ""
		s.first = appendNames(s.first, ref.Name)
	}
	return nil
}

// appendNames adds those that objects can have and that are not there yet, until there are as many as are tried.
func appendNames(names []string, more ...string) []string {
	for _, name := range more {
		if len(names) < maxLogins && canBe(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// canBe reports whether a Secret or a ServiceAccount can have a name.
func canBe(name string) bool {
	return len(name) <= content.DNS1123SubdomainMaxLength && len(content.IsDNS1123Subdomain(name)) == 0
}

// errEnough ends a list of which no more is wanted.
var errEnough = errors.New("there are enough")

// enough ends a list when there are as many names as are tried.
func enough(names []string) error {
	if len(names) < maxLogins {
		return nil
	}
	return errEnough
}

// lists reads lists from the API server as streams, so that they cost what is kept of them and not what tenants have
// written into their objects.
type lists struct {
	api   rest.Interface
	slots chan struct{}
}

func newLists(kube *rest.Config, through *http.Client) (*lists, error) {
	api, err := livelist.Streams(kube, through)
	return &lists{api, make(chan struct{}, pagesAtOnce)}, err
}

// each gives the decoder to each object of a kind in a namespace, until that returns errEnough or as many were read as are
// read of the kind.
func (l *lists) each(ctx context.Context, k listed, namespace string, each func(livelist.Decoder) error) error {
	token := ""
	for range k.pages {
		meta, err := l.page(ctx, k, namespace, token, each)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
		if token = meta.Continue; token == "" {
			break
		}
	}
	return nil
}

// page reads one answer of a list.
func (l *lists) page(ctx context.Context, k listed, namespace, token string, each func(livelist.Decoder) error) (metav1.ListMeta, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return metav1.ListMeta{}, fmt.Errorf("waiting to list: %w", ctx.Err())
	}
	q := l.api.Get().AbsPath(k.root).Namespace(namespace).Resource(k.resource).Param("limit", strconv.Itoa(k.page))
	if token != "" {
		q = q.Param("continue", token)
	}
	return livelist.Page(ctx, q, k.kind+"List", each)
}
