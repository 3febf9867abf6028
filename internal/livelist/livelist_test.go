package livelist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"

	"github.com/nfo-operator/nfo/api/v1alpha1"
)

// serve answers lists of stores with pages, and returns a client for them.
func serve(t *testing.T, trim Keep, pages ...string) (*Client, *[]string) {
	t.Helper()
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.URL.RequestURI())
		w.Header().Set("Content-Type", "application/json")
		if len(pages) == 0 {
			w.WriteHeader(http.StatusGone)
			_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
			return
		}
		_, _ = fmt.Fprint(w, pages[0])
		pages = pages[1:]
	}))
	t.Cleanup(api.Close)
	scheme := kruntime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind(v1alpha1.KindArtifactStore), apimeta.RESTScopeNamespace)
	kube := &rest.Config{Host: api.URL}
	plain, err := client.New(kube, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(plain, kube, trim)
	if err != nil {
		t.Fatal(err)
	}
	return c, &asked
}

func page(next string, items ...string) string {
	return fmt.Sprintf(`{"kind":"ArtifactStoreList","apiVersion":"nfo.dev/v1alpha1","metadata":{"resourceVersion":"7","continue":%q},"items":[%s]}`, next, strings.Join(items, ","))
}

func item(name string) string {
	return fmt.Sprintf(`{"kind":"ArtifactStore","metadata":{"name":%q,"managedFields":[{"manager":"kubectl"}],"labels":{"a":"b"},
		"annotations":{"nfo.dev/on-delete":"Orphan","example.com/x":"y"}},"spec":{"registry":{"url":"https://r.example.com","caBundle":"QUJD"}}}`, name)
}

func TestListsAreWholeAndTrimmed(t *testing.T) {
	t.Parallel()
	c, asked := serve(t, Trim, page("more", item("a"), item("b")), page("", item("c")))
	var got v1alpha1.ArtifactStoreList
	got.Items = []v1alpha1.ArtifactStore{{}} // of an earlier list
	err := c.List(t.Context(), &got, client.InNamespace("ns"), Keep(func(o client.Object) {
		if o.GetName() == "b" {
			o.SetAnnotations(nil)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.ArtifactStoreList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	for _, name := range []string{"a", "b", "c"} {
		s := v1alpha1.ArtifactStore{TypeMeta: metav1.TypeMeta{Kind: v1alpha1.KindArtifactStore}, ObjectMeta: metav1.ObjectMeta{Name: name}}
		if name != "b" {
			s.Annotations = map[string]string{v1alpha1.AnnotationOnDelete: v1alpha1.OnDeleteOrphan}
		}
		s.Spec.Registry.URL = "https://r.example.com"
		want.Items = append(want.Items, s)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	const path = "/apis/nfo.dev/v1alpha1/namespaces/ns/artifactstores?"
	if diff := cmp.Diff([]string{path + "limit=500", path + "continue=more&limit=500"}, *asked); diff != "" {
		t.Errorf("requests: -want +got\n%s", diff)
	}
}

func TestListOfOnePage(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, nil, page("more", item("a")))
	var got v1alpha1.ArtifactStoreList
	if err := c.List(t.Context(), &got, client.Limit(1)); err != nil {
		t.Fatal(err)
	}
	if got.Continue != "more" || len(got.Items) != 1 || string(got.Items[0].Spec.Registry.CABundle) != "ABC" || got.Items[0].ManagedFields != nil {
		t.Errorf("got %+v", got)
	}
}

// An answer that is not a whole list is an error, and never a shorter list (I2).
func TestNoListIsCutShort(t *testing.T) {
	t.Parallel()
	whole := page("", item("a"), item("b"))
	for name, pages := range map[string][]string{
		"Truncated":  {whole[:len(whole)-1]},
		"InItem":     {whole[:len(whole)-40]},
		"Empty":      {""},
		"Null":       {"null"},
		"Array":      {"[]"},
		"NoItems":    {`{"kind":"ArtifactStoreList","metadata":{}}`},
		"NoMetadata": {`{"kind":"ArtifactStoreList","items":[]}`},
		"NoKind":     {`{"metadata":{},"items":[]}`},
		"OtherKind":  {`{"kind":"ArtifactManifestList","metadata":{},"items":[]}`},
		"Status":     {`{"kind":"Status","metadata":{},"status":"Success"}`},
		"Items":      {`{"kind":"ArtifactStoreList","metadata":{},"items":{}}`},
		"SecondPage": {page("more", item("a")), "{}"},
		"Expired":    {page("more", item("a"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, Trim, pages...)
			var got v1alpha1.ArtifactStoreList
			if err := c.List(t.Context(), &got); err == nil {
				t.Errorf("no error, and %d items", len(got.Items))
			}
		})
	}
}

// A list takes the memory of what is kept of it, and not of what was sent. The test finds a reader that buffers a page.
func TestListCostsWhatIsKept(t *testing.T) { // not parallel: allocations of other tests would count
	large := strings.Replace(item("a"), "QUJD", strings.Repeat("QUJD", 256<<10), 1)
	body := page("", slicesOf(large, 100)...)
	var most uint64
	before := heap()
	_, err := Decode(strings.NewReader(body), "ArtifactStoreList", func(one Decoder) error {
		var s v1alpha1.ArtifactStore
		if err := one.Decode(&s); err != nil {
			return err
		}
		Trim(&s)
		most = max(most, heap()-min(before, heap()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if most > 8<<20 {
		t.Errorf("a list of %d MiB took %d MiB", len(body)>>20, most>>20)
	}
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func slicesOf(text string, n int) (all []string) {
	for range n {
		all = append(all, text)
	}
	return all
}

// FuzzDecode compares Decode with a decoder that reads the list at once.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{page("", item("a"), item("b")), page("x"), `{"kind":"ArtifactStoreList","metadata":null,"items":null,"x":[{}]}`, `{"items":[{}],"items":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got []v1alpha1.ArtifactStore
		meta, err := Decode(bytes.NewReader(data), "ArtifactStoreList", func(one Decoder) error {
			var s v1alpha1.ArtifactStore
			err := one.Decode(&s)
			got = append(got, s)
			return err
		})
		if err != nil {
			return
		}
		var want v1alpha1.ArtifactStoreList
		begin := json.NewDecoder(bytes.NewReader(data)) // anything after the list is not read
		var first json.RawMessage
		if err := errors.Join(begin.Decode(&first), kjson.UnmarshalCaseSensitivePreserveInts(first, &want)); err != nil {
			t.Fatalf("accepted what is not a list: %v", err)
		}
		if strings.Count(string(first), `"items"`)+strings.Count(string(first), `"metadata"`) > 2 || strings.Contains(string(first), `\u`) {
			return // of a field that occurs twice, the two decoders may use either value
		}
		if diff := cmp.Diff(len(want.Items), len(got)); diff != "" {
			t.Errorf("items: -want +got\n%s", diff)
		}
		if diff := cmp.Diff(want.ListMeta, meta); diff != "" {
			t.Errorf("metadata: -want +got\n%s", diff)
		}
	})
}
