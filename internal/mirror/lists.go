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

// pagesAtOnce bounds the pages that are read at the same time by all callers. Each page has
// one object in memory, which a tenant can make as large as the API server allows. A slot
// is released after each page, so that a large list does not block others.
const pagesAtOnce = 4

// listed is a kind whose objects are listed.
type listed struct {
	root, resource, kind string
	// page is the number of objects in one page, and pages the maximum number of pages.
	page, pages int
}

// podSpec has the fields that are read of a pod.
type podSpec struct {
	rewrite.Spec
	Account string      `json:"serviceAccountName"`
	Secrets secretNames `json:"imagePullSecrets"`
}

// uses reports whether a pod has a container or a volume with an
// image, by its original reference or by the one in the mirror.
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

// secretNames has the names that are read from a list of pull secrets. In a ServiceAccount, neither the number of names
// nor their length is bounded by the API server.
type secretNames struct {
	// first has the first maxLogins valid names.
	first []string
	// some is true if the list has any name, even an invalid one.
	some bool
}

// UnmarshalJSON decodes names one by one, until maxLogins are kept.
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

// appendNames adds names that are valid and not in the list yet, until the list has maxLogins.
func appendNames(names []string, more ...string) []string {
	for _, name := range more {
		if len(names) < maxLogins && canBe(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// canBe reports whether a name is valid for a Secret or a ServiceAccount.
func canBe(name string) bool {
	return len(name) <= content.DNS1123SubdomainMaxLength && len(content.IsDNS1123Subdomain(name)) == 0
}

// errEnough ends a list early without an error.
var errEnough = errors.New("there are enough")

// enough returns errEnough if there are maxLogins names.
func enough(names []string) error {
	if len(names) < maxLogins {
		return nil
	}
	return errEnough
}

// lists reads lists from the API server as streams. Memory depends on
// what is kept of the objects, not on what tenants write into them.
type lists struct {
	api   rest.Interface
	slots chan struct{}
}

func newLists(kube *rest.Config, through *http.Client) (*lists, error) {
	api, err := livelist.Streams(kube, through)
	return &lists{api, make(chan struct{}, pagesAtOnce)}, err
}

// each calls a function with a decoder for each object of a kind in a namespace,
// until it returns errEnough or the page limit of the kind is reached.
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

// page reads one page of a list.
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
