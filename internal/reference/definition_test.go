package reference

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

func TestI2AnEmptyListProvesSomethingOnlyWithItsDefinition(t *testing.T) {
	t.Parallel()
	const kind = v1alpha1.KindDefinition
	hour := func(n int) time.Time { return made.Add(time.Duration(n) * time.Hour) }
	rows := map[string]struct {
		reason string
		all    Definitions
		now    time.Time
		met    time.Time
		says   string // "" for no doubt
	}{
		"older":           {"it has been there for as long as the object", Definitions{kind: {Created: hour(-1)}}, hour(1), time.Time{}, ""},
		"missing":         {"its objects are gone with it", Definitions{}, hour(1), time.Time{}, "does not exist"},
		"terminating":     {"its objects are going with it", Definitions{kind: {Created: hour(-1), Terminating: true}}, hour(1), time.Time{}, "is being deleted"},
		"younger":         {"objects of the one before may be lost", Definitions{kind: {Created: hour(1)}}, hour(2), time.Time{}, "was created at 2026-08-01T13:00:00Z"},
		"of one second":   {"nobody can tell which came first", Definitions{kind: {Created: made}}, hour(2), time.Time{}, "was created at"},
		"a day later":     {"they have had time to come back", Definitions{kind: {Created: hour(1)}}, hour(25), time.Time{}, ""},
		"restored":        {"an administrator knows", Definitions{kind: {Created: hour(1), Restored: true}}, hour(2), time.Time{}, ""},
		"met":             {"a holder came back, and was deleted since", Definitions{kind: {Created: hour(1)}}, hour(3), hour(2), ""},
		"met before":      {"this holder was lost with the old definition", Definitions{kind: {Created: hour(2)}}, hour(3), hour(1), "was created at"},
		"restored, going": {"it was said of the objects that are being deleted now", Definitions{kind: {Created: hour(1), Restored: true, Terminating: true}}, hour(2), time.Time{}, "is being deleted"},
	}
	for name, row := range rows {
		got := row.all.Doubt([]string{kind}, made, row.now, func(string) time.Time { return row.met })
		if (got == "") != (row.says == "") || !strings.Contains(got, row.says) {
			t.Errorf("%s: %q, want %q: %s", name, got, row.says, row.reason)
		}
	}
}

// A manifest whose possible holders are unknown must not be released, whatever the lists say.
func TestI2LiveDoubts(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: DefinitionKind.Group, Resource: "customresourcedefinitions"}, "x", errors.New("no right"))
	rows := map[string]struct {
		reason string
		answer func(name string) error // what reading the definition of that name returns
		change func(*metav1.PartialObjectMetadata)
		going  bool
		want   error
	}{
		"known":     {"nothing references it", func(string) error { return nil }, nil, false, nil},
		"missing":   {"", func(string) error { return apierrors.NewNotFound(schema.GroupResource{}, "x") }, nil, false, ErrHoldersUnknown},
		"forbidden": {"what cannot be read proves nothing", func(string) error { return forbidden }, nil, false, forbidden},
		"new":       {"", func(string) error { return nil }, func(o *metav1.PartialObjectMetadata) { o.CreationTimestamp = metav1.Now() }, false, ErrHoldersUnknown},
		"being deleted": {"", func(string) error { return nil }, func(o *metav1.PartialObjectMetadata) {
			if !strings.HasPrefix(o.Name, "artifactmanifests") {
				o.DeletionTimestamp = new(metav1.Now())
			}
		}, false, ErrHoldersUnknown},
		"its own kind is being deleted": {"then nothing will be released anyway", func(string) error { return nil }, func(o *metav1.PartialObjectMetadata) {
			o.DeletionTimestamp = new(metav1.Now())
		}, true, nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := reader(t, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				crd, ok := o.(*metav1.PartialObjectMetadata)
				if !ok {
					return c.Get(ctx, key, o, opts...)
				}
				if err := row.answer(key.Name); err != nil {
					return err
				}
				err := c.Get(ctx, key, o, opts...)
				if row.change != nil {
					row.change(crd)
				}
				return err
			}})
			m := manifest("m", "chart")
			m.CreationTimestamp = metav1.NewTime(made.Add(time.Minute))
			found, err := NewFinder(c, c, time.Now).Live(t.Context(), m)
			if !errors.Is(err, row.want) || found.KindGoing != row.going {
				t.Errorf("%v, going %v; want %v, %v: %s", err, found.KindGoing, row.want, row.going, row.reason)
			}
		})
	}
}
