package workload

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// fluxDefinitions answers requests for the CustomResourceDefinitions
// of Flux with the metadata in all, by resource. Others do not exist.
func fluxDefinitions(all map[string]string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, name, is := strings.Cut(r.URL.Path, "/customresourcedefinitions/")
		resource, _, _ := strings.Cut(name, ".")
		metadata, exists := all[resource]
		if is && exists {
			_, _ = fmt.Fprintf(w, `{"metadata":{%s},"spec":{"versions":[{"name":"v1","served":true},{"name":"v2","served":true}]}}`, metadata)
		}
		return is && exists
	}
}

func TestI2WhatADefinitionThatWasSeenBeforeIsWorth(t *testing.T) {
	t.Parallel()
	const charts, repositories, releases = "helmcharts.source.toolkit.fluxcd.io", "ocirepositories.source.toolkit.fluxcd.io", "helmreleases.helm.toolkit.fluxcd.io"
	ago := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-d))) }
	of := func(uid string, age time.Duration, more string) string {
		return fmt.Sprintf(`"uid":%q,"creationTimestamp":%q%s`, uid, ago(age).UTC().Format(time.RFC3339), more)
	}
	seen := func(name, uid string, missing *metav1.Time) v1alpha1.WorkloadDefinition {
		return v1alpha1.WorkloadDefinition{Name: name, UID: types.UID(uid), MissingSince: missing}
	}
	old := []v1alpha1.WorkloadDefinition{seen(repositories, "o", nil), seen(charts, "c", nil), seen(releases, "r", nil)}
	is := func(last v1alpha1.WorkloadDefinition) []v1alpha1.WorkloadDefinition {
		return []v1alpha1.WorkloadDefinition{old[0], old[1], last}
	}
	before := func(state v1alpha1.WorkloadSourceState, since time.Duration, definitions ...v1alpha1.WorkloadDefinition) *v1alpha1.WorkloadSourceStatus {
		return &v1alpha1.WorkloadSourceStatus{Name: v1alpha1.WorkloadFlux, State: state, Since: *ago(since), Definitions: definitions}
	}
	const month = 30 * 24 * time.Hour
	read := before(v1alpha1.WorkloadsRead, month, old...)
	other := map[string]string{"helmcharts": of("c", month, ""), "ocirepositories": of("o", month, "")}
	with := func(metadata string) map[string]string {
		return map[string]string{"helmcharts": other["helmcharts"], "ocirepositories": other["ocirepositories"], "helmreleases": metadata}
	}
	for title, tc := range map[string]struct {
		reason string
		before *v1alpha1.WorkloadSourceStatus
		there  map[string]string
		want   v1alpha1.WorkloadSourceState
		says   string
		seen   []v1alpha1.WorkloadDefinition
	}{
		"first reading":            {"nothing was there that could be lost", nil, with(of("r", time.Minute, "")), v1alpha1.WorkloadsRead, "", old},
		"first installation":       {"nothing was there before it", before(v1alpha1.WorkloadsNotInstalled, month), with(of("r", time.Minute, "")), v1alpha1.WorkloadsRead, "", old},
		"after a right is granted": {"nobody knows of an earlier one", before(v1alpha1.WorkloadsDenied, month), with(of("r", time.Minute, "")), v1alpha1.WorkloadsRead, "", old},
		"not all of Flux":          {"a kind that was never there is not missed", before(v1alpha1.WorkloadsRead, month, old[:2]...), other, v1alpha1.WorkloadsRead, "", old[:2]},
		"the same":                 {"an upgrade changes the definition that is there", read, with(of("r", time.Minute, "")), v1alpha1.WorkloadsRead, "", old},
		"one is gone":              {"its objects may come back with it", read, other, v1alpha1.WorkloadsFailed, releases + " does not exist, and it was read before", is(seen(releases, "r", ago(0)))},
		"one is gone for hours":    {"a day has not passed", before(v1alpha1.WorkloadsFailed, month, is(seen(releases, "r", ago(23*time.Hour)))...), other, v1alpha1.WorkloadsFailed, "nfo goes on without it at 2026-09-01T13:00:00Z", is(seen(releases, "r", ago(23*time.Hour)))},
		"one is gone for a day":    {"a day has passed", before(v1alpha1.WorkloadsFailed, 24*time.Hour, is(seen(releases, "r", ago(24*time.Hour)))...), other, v1alpha1.WorkloadsRead, "", old[:2]},
		"all are gone": {"they are missing from the same time on, whatever failed before", before(v1alpha1.WorkloadsFailed, month, old...), nil, v1alpha1.WorkloadsFailed, "it was read before",
			[]v1alpha1.WorkloadDefinition{seen(repositories, "o", ago(0)), seen(charts, "c", ago(0)), seen(releases, "r", ago(0))}},
		"all are gone for a day": {"a day has passed", before(v1alpha1.WorkloadsFailed, 25*time.Hour, seen(repositories, "o", ago(25*time.Hour)), seen(charts, "c", ago(25*time.Hour)), seen(releases, "r", ago(25*time.Hour))), nil,
			v1alpha1.WorkloadsNotInstalled, "", nil},
		"made anew": {"its objects may be on their way back", read, with(of("new", time.Hour, "")), v1alpha1.WorkloadsFailed, "kubectl annotate crd " + releases + " nfo.dev/objects-restored=", old},
		"there again": {"it was missing, and is empty", before(v1alpha1.WorkloadsFailed, 2*time.Hour, is(seen(releases, "r", ago(2*time.Hour)))...), with(of("new", time.Hour, "")),
			v1alpha1.WorkloadsFailed, "nfo goes on at 2026-09-02T11:00:00Z", old},
		"still there again":   {"one reading more proves nothing", before(v1alpha1.WorkloadsFailed, time.Minute, old...), with(of("new", time.Hour, "")), v1alpha1.WorkloadsFailed, "created anew", old},
		"made anew long ago":  {"what was to come back has", before(v1alpha1.WorkloadsFailed, 24*time.Hour, old...), with(of("new", 24*time.Hour, "")), v1alpha1.WorkloadsRead, "", is(seen(releases, "new", nil))},
		"made anew, restored": {"an administrator says that all is there", read, with(of("new", time.Hour, `,"annotations":{"nfo.dev/objects-restored":""}`)), v1alpha1.WorkloadsRead, "", is(seen(releases, "new", nil))},
		"being deleted":       {"its objects go with it", read, with(of("r", month, `,"deletionTimestamp":"2026-09-01T12:00:00Z"`)), v1alpha1.WorkloadsFailed, "is being deleted", old},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := aStore(v1alpha1.WorkloadFlux)
			if tc.before != nil {
				s.Status.Workloads = &v1alpha1.WorkloadsStatus{Sources: []v1alpha1.WorkloadSourceStatus{*tc.before}}
			}
			was := s.DeepCopy()
			got, err := (&api{answer: fluxDefinitions(tc.there)}).reader(t).Read(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			flux := got.Sources[0]
			if flux.State != tc.want || !strings.Contains(flux.Message, tc.says) {
				t.Errorf("%s: %s %q", tc.reason, flux.State, flux.Message)
			}
			if diff := cmp.Diff(tc.seen, flux.Definitions, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
			if diff := cmp.Diff(was, s); diff != "" {
				t.Errorf("the store is another one: %s", diff)
			}
		})
	}
}

// A definition is read a second time after its objects were listed: a list
// that was read while the definition was being deleted may be incomplete.
func TestI2ADefinitionThatGoesDuringAReading(t *testing.T) {
	t.Parallel()
	there := fluxDefinitions(map[string]string{"helmreleases": `"uid":"r"`})
	gone := false
	a := &api{}
	a.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/helmreleases") {
			gone = true
		}
		return !gone && there(w, r)
	}
	got, err := a.reader(t).Read(t.Context(), aStore(v1alpha1.WorkloadFlux))
	if err != nil {
		t.Fatal(err)
	}
	if got.Unreadable() == nil || got.Sources[0].Definitions[0].MissingSince == nil {
		t.Errorf("%+v", got.Sources)
	}
}
