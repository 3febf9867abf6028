package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/nfo-operator/nfo/api/v1alpha1"
	"github.com/nfo-operator/nfo/internal/controller/wake"
	"github.com/nfo-operator/nfo/internal/reference"
)

// number is the placeholder for a manifest's number in the fleet's objects.
const number = "999999"

// fleet is an API server with size manifests of six artifacts, one of them a chart of five images, each with its
// definition, in the state that the controllers leave them in. It answers the requests that a starting cache makes.
type fleet struct {
	size                 int
	manifest, definition []byte // with number as the placeholder
}

func newFleet(b *testing.B, size int) fleet {
	b.Helper()
	m, d := aHeldManifest()
	f := fleet{size: size}
	var errs [2]error
	f.manifest, errs[0] = json.Marshal(m)
	f.definition, errs[1] = json.Marshal(d)
	if err := errors.Join(errs[:]...); err != nil {
		b.Fatal(err)
	}
	return f
}

// aHeldManifest returns a manifest that is complete, and the definition that holds it.
func aHeldManifest() (*v1alpha1.ArtifactManifest, *v1alpha1.NetworkFunctionDefinitionVersion) {
	meta := metav1.ObjectMeta{
		Namespace: "publisher", Name: "m" + number, UID: types.UID("2c1f7f4e-6d3b-4f0a-9c55-00000" + number + "0"), ResourceVersion: "1000000", Generation: 1,
		CreationTimestamp: metav1.Unix(1_700_000_000, 0), Finalizers: []string{v1alpha1.Finalizer},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "nfo-manager", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)}},
	}
	m := &v1alpha1.ArtifactManifest{ObjectMeta: meta, TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindArtifactManifest}}
	d := &v1alpha1.NetworkFunctionDefinitionVersion{ObjectMeta: *meta.DeepCopy(), TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.KindDefinition}}
	m.Spec = v1alpha1.ArtifactManifestSpec{ArtifactStoreRef: v1alpha1.LocalReference{Name: "acme"}, ArtifactManifestState: v1alpha1.ManifestUploaded, UploadPath: v1alpha1.ManifestScoped}
	chart := v1alpha1.ChartStatus{ArtifactName: "upf", ArtifactVersion: "1.0.0", Name: "upf", Version: "1.0.0", AppVersion: "23.4", RegistryValuesPaths: []string{"global.registryPath"}, ImageCount: 5, Reader: "3"}
	for i := range 6 {
		name, config := fmt.Sprint("upf-image-", i), "application/vnd.oci.image.config.v1+json"
		if i == 5 {
			name, config = "upf", "application/vnd.cncf.helm.config.v1+json"
		}
		a := v1alpha1.ArtifactStatus{
			ArtifactName: name, ArtifactVersion: "1.0.0", Repository: "acme/" + m.Name + "/" + name, Digest: fmt.Sprintf("sha256:%058x%s", 0xabcdef0123456789+uint64(i), number),
			MediaType: "application/vnd.oci.image.manifest.v1+json", ConfigMediaType: config, Size: 1234, State: v1alpha1.ArtifactPresent,
		}
		m.Spec.Artifacts = append(m.Spec.Artifacts, v1alpha1.ManifestArtifact{ArtifactName: name, ArtifactType: "OCIArtifact", ArtifactVersion: "1.0.0"})
		m.Status.Artifacts = append(m.Status.Artifacts, a)
		if chart.Digest = a.Digest; i < 5 {
			chart.Images = append(chart.Images, v1alpha1.ChartImage{
				Image: name + ":1.0.0", State: v1alpha1.ImageInManifest, Repository: a.Repository, Digest: a.Digest, Place: "templates/deployment.yaml Deployment/upf spec.template.spec.containers[0].image",
			})
		}
	}
	m.Status.Charts = []v1alpha1.ChartStatus{chart}
	m.Status.DependentCount = new(int32(1))
	m.Status.Dependents.Dependents = []v1alpha1.Dependent{{Kind: v1alpha1.KindDefinition, Namespace: m.Namespace, Name: d.Name, Artifacts: []string{"upf:1.0.0"}}}
	app := v1alpha1.NetworkFunctionApplication{Name: "upf", ArtifactType: "HelmPackage"}
	app.ArtifactProfile.ArtifactManifestRef = &v1alpha1.LocalReference{Name: m.Name}
	app.ArtifactProfile.HelmArtifactProfile = v1alpha1.HelmArtifactProfile{HelmPackageName: "upf", HelmPackageVersionRange: "1.0.0", RegistryValuesPaths: []string{"global.registryPath"}}
	d.Spec.VersionState = v1alpha1.VersionActive
	d.Spec.NetworkFunctionTemplate.NetworkFunctionApplications = []v1alpha1.NetworkFunctionApplication{app}
	d.Status.Applications = []v1alpha1.ApplicationStatus{{
		Name: "upf", Manifest: m.Name, ArtifactName: "upf", ArtifactVersion: "1.0.0", Repository: "acme/" + m.Name + "/upf", Digest: chart.Digest, ImageCount: new(int32(5)),
	}}
	for _, image := range chart.Images {
		image.Place = ""
		d.Status.Applications[0].Images = append(d.Status.Applications[0].Images, image)
	}
	holders := []reference.Holder{{Object: reference.Self(d), References: reference.Of(d)}}
	say(&m.Status.Conditions, map[string]string{
		v1alpha1.ConditionReady: "All artifacts are in the registry.", v1alpha1.ConditionUploaded: "All 6 artifacts are in the registry.",
		v1alpha1.ConditionComplete: "This manifest has all images that its charts need (5 images, 1 chart).", v1alpha1.ConditionReferenced: reference.Refusal(reference.Self(m), holders),
	})
	say(&d.Status.Conditions, map[string]string{
		v1alpha1.ConditionReady: "All referenced objects exist and are protected.", v1alpha1.ConditionResolved: "All referenced objects exist and are protected.",
		v1alpha1.ConditionReferenced: "No object references it.", v1alpha1.ConditionMigrated: "All is named in the new form.",
	})
	return m, d
}

func say(to *[]metav1.Condition, messages map[string]string) {
	for kind, message := range messages {
		apimeta.SetStatusCondition(to, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.Unix(1_700_000_000, 0)})
	}
}

// ServeHTTP lists objects of a kind in pages, or streams all, and keeps watches open.
func (f fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	kind := map[string]metav1.TypeMeta{"jobs": {APIVersion: "batch/v1", Kind: "Job"}}
	for _, k := range v1alpha1.Kinds() {
		kind[strings.ToLower(k)+"s"] = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: k}
	}
	resource := path.Base(r.URL.Path)
	var object []byte
	switch resource {
	case "artifactmanifests":
		object = f.manifest
	case "networkfunctiondefinitionversions":
		object = f.definition
	}
	one := func(i int) []byte { return bytes.ReplaceAll(object, []byte(number), fmt.Appendf(nil, "%06d", i)) }
	switch {
	case q.Get("watch") != "true":
		f.page(w, kind[resource], q, object != nil, one)
		return
	case q.Get("sendInitialEvents") != "true":
		f.open(w, r)
		return
	}
	for i := 0; i < f.size && object != nil; i++ {
		_, _ = fmt.Fprintf(w, "{\"type\":\"ADDED\",\"object\":%s}\n", one(i))
	}
	_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"1000000","annotations":{"k8s.io/initial-events-end":"true"}}}}`+"\n",
		kind[resource].APIVersion, kind[resource].Kind)
	f.open(w, r)
}

func (fleet) open(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// page writes one page of a list.
func (f fleet) page(w http.ResponseWriter, kind metav1.TypeMeta, q url.Values, some bool, one func(int) []byte) {
	from, _ := strconv.Atoi(q.Get("continue")) // 0 for none
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		limit = f.size
	}
	var items [][]byte
	for i := from; some && i < min(from+limit, f.size); i++ {
		items = append(items, one(i))
	}
	next := ""
	if from+len(items) < f.size && some {
		next = strconv.Itoa(from + len(items))
	}
	_, _ = fmt.Fprintf(w, `{"apiVersion":%q,"kind":%q,"metadata":{"resourceVersion":"1000000","continue":%q},"items":[%s]}`, kind.APIVersion, kind.Kind+"List", next, bytes.Join(items, []byte(",")))
}

// start fills a cache that is made as the manager's is.
func (f fleet) start(ctx context.Context, b *testing.B) cache.Cache {
	b.Helper()
	server := httptest.NewServer(f)
	b.Cleanup(server.Close)
	b.Cleanup(server.CloseClientConnections)
	scheme, err := reference.NewScheme()
	must(b, err)
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for kind := range scheme.AllKnownTypes() {
		mapper.Add(kind, apimeta.RESTScopeNamespace)
	}
	mapper.Add(reference.DefinitionKind, apimeta.RESTScopeRoot)
	c, err := newCache(&rest.Config{Host: server.URL}, cache.Options{
		Scheme: scheme, Mapper: mapper, HTTPClient: server.Client(), DefaultTransform: lean, ByObject: madeByUs(nil),
	})
	must(b, err)
	must(b, wake.Index(ctx, c))
	go func() { _ = c.Start(ctx) }() // it ends with the benchmark
	if !c.WaitForCacheSync(ctx) {
		b.Fatal("the cache has not filled")
	}
	return c
}

// BenchmarkCache measures how long the manager's cache takes to fill from an API server
// that does nothing else, and how much memory a manifest with its definition takes in it.
func BenchmarkCache(b *testing.B) {
	for _, size := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("manifests=%d", size), func(b *testing.B) {
			f := newFleet(b, size)
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				before, began := heapInUse(), time.Now()
				c := f.start(ctx, b)
				took := time.Since(began)
				weight := heapInUse() - before
				var held v1alpha1.NetworkFunctionDefinitionVersionList
				m := reference.Object{Kind: v1alpha1.KindArtifactManifest, Namespace: "publisher", Name: "m000001"}
				must(b, c.List(ctx, &held, client.MatchingFields{reference.Field: reference.Key(m)}))
				if len(held.Items) != 1 {
					b.Fatalf("%s has %d holders", m, len(held.Items))
				}
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(float64(weight)/1024/float64(size), "KiB/manifest")
				b.ReportMetric(0, "ns/op") // the time of one operation means nothing here
				cancel()
				runtime.KeepAlive(c)
			}
		})
	}
}

// heapInUse returns the heap in use after a forced collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // frees what the first collection found to be finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
