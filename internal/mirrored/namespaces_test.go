package mirrored

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/reference"
	"github.com/nfo-operator/nfo/internal/rewrite"
)

// namespaces is a cache with the metadata of one namespace.
type namespaces struct {
	cache.Cache
	informer *controllertest.FakeInformer
	asked    int
	fails    error
}

func (c *namespaces) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	c.asked++
	return c.informer, c.fails
}

func (c *namespaces) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if key.Name != "core" {
		return errors.New("not found")
	}
	o.SetLabels(map[string]string{"team": "core"})
	return nil
}

// rulesOf returns the rules of a mirror that selects namespaces by their labels, or of one that does not.
func rulesOf(t *testing.T, labelled bool) rewrite.Rules {
	t.Helper()
	r, err := factsOf(t, aMirror("operators", v1alpha1.MirrorName, func(m *v1alpha1.MirrorSpec) {
		if labelled {
			m.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "core"}}
		}
	})).Rules(t.Context())
	if err != nil || r.Labelled() != labelled {
		t.Fatalf("the rules need labels: %t, %v", r.Labelled(), err)
	}
	return r
}

// may returns a client of an API server that grants the manager some verbs.
func may(t *testing.T, verbs map[string]bool, fails error) client.Client {
	t.Helper()
	scheme, err := reference.NewScheme()
	if err == nil {
		err = authorizationv1.AddToScheme(scheme)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			review := o.(*authorizationv1.SelfSubjectAccessReview)
			review.Status.Allowed = verbs[review.Spec.ResourceAttributes.Verb]
			return fails
		},
	}).Build()
}

// TestNamespacesBegin checks that namespaces are watched only if
// the rules need their labels and the manager has the permission.
func TestNamespacesBegin(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	both := map[string]bool{"list": true, "watch": true}
	for name, tt := range map[string]struct {
		reason   string
		labelled bool
		rules    error
		verbs    map[string]bool
		review   error
		cache    error
		begun    bool
		fails    bool
	}{
		"Begun":     {reason: "they are needed, and may be watched", labelled: true, verbs: both, begun: true},
		"Needless":  {reason: "no rule needs labels", verbs: both},
		"OnlyList":  {reason: "an informer would try for ever", labelled: true, verbs: map[string]bool{"list": true}},
		"NoRules":   {reason: "the rules cannot be read", labelled: true, rules: down, verbs: both, fails: true},
		"CannotAsk": {reason: "the API server does not answer", labelled: true, verbs: both, review: down, fails: true},
		"NoCache":   {reason: "the cache has no informer", labelled: true, verbs: both, cache: down, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, of := rulesOf(t, tt.labelled), &namespaces{informer: controllertest.NewFakeInformer(), fails: tt.cache}
			n := &Namespaces{Client: may(t, tt.verbs, tt.review), Cache: of, Rules: func(context.Context) (rewrite.Rules, error) { return rules, tt.rules }}
			begun, err := n.begin(t.Context())
			if begun != tt.begun || (err != nil) != tt.fails {
				t.Errorf("%s: begun %t, %v", tt.reason, begun, err)
			}
			if labels, err := n.Labels(t.Context(), "core"); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: before the cache is filled the labels are %v, %v", tt.reason, labels, err)
			}
			if !tt.begun {
				return
			}
			of.informer.Synced()
			if labels, err := n.Labels(t.Context(), "core"); err != nil || labels["team"] != "core" {
				t.Errorf("%s: the labels are %v, %v", tt.reason, labels, err)
			}
			if _, err := n.Labels(t.Context(), "none"); !errors.Is(err, ErrUnknown) {
				t.Errorf("a namespace that is not in the cache: %v", err)
			}
		})
	}
}

// Every replica starts the watch when the rules need it, because the mirror's store may be created later.
func TestNamespacesAreWatchedWhenTheyAreWanted(t *testing.T) {
	t.Parallel()
	plain, labelled := rulesOf(t, false), rulesOf(t, true)
	c := may(t, map[string]bool{"list": true, "watch": true}, nil)
	synctest.Test(t, func(t *testing.T) {
		begun, of := time.Now(), &namespaces{informer: controllertest.NewFakeInformer()}
		n := &Namespaces{Client: c, Cache: of, Rules: func(context.Context) (rewrite.Rules, error) {
			switch since := time.Since(begun); {
			case since < checkInterval:
				return rewrite.Rules{}, errors.New("not yet")
			case since < 2*checkInterval:
				return plain, nil
			}
			return labelled, nil
		}}
		if n.NeedLeaderElection() {
			t.Error("only one replica knows the labels")
		}
		if err := n.Start(t.Context()); err != nil || of.asked != 1 || time.Since(begun) != 2*checkInterval {
			t.Errorf("%d informers after %s: %v", of.asked, time.Since(begun), err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.Start(ended); err != nil {
			t.Errorf("after its context ended: %v", err)
		}
	})
}

// The last result about the agents is used until they are read again, which happens every few seconds.
func TestAgentsAreReadEveryFewSeconds(t *testing.T) {
	t.Parallel()
	rules := rulesOf(t, false)
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		f := factsOf(t, agentsOf("operators", v1alpha1.AgentName, 1))
		a := &Agents{Live: f.Cached, Namespace: "operators", Rules: func(context.Context) (rewrite.Rules, error) {
			if reads++; reads == 2 {
				return rewrite.Rules{}, errors.New("the API server is down")
			}
			return rules, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*agentsEvery+time.Second)
		defer cancel()
		if err := a.Start(ctx); err != nil || reads != 4 || a.NeedLeaderElection() {
			t.Errorf("%d reads: %v", reads, err)
		}
	})
}
