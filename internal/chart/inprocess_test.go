package chart

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/record"
)

// read reads a chart in this process, and returns all answers.
func read(t *testing.T, q Request, files map[string]string) (said []chartAnswer) {
	t.Helper()
	packed := map[string][]byte{}
	for name, text := range files {
		packed[name] = []byte(text)
	}
	q.Archive = pack(packed)
	if err := readChart(q, func(a chartAnswer) error {
		said = append(said, a)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return said
}

// Cheap results are reported before anything that can cost more, and only the last answer has Done.
func TestReadingTellsWhatCostsLeastFirst(t *testing.T) {
	t.Parallel()
	const meta = "apiVersion: v2\nname: app\nversion: 1.0.0\n"
	for name, tc := range map[string]struct {
		reason   string
		files    map[string]string
		q        Request
		said     int
		images   []string // "<registry>" stands for the store's registry
		problems []string
		remarks  []string
	}{
		"Plain": {"once before it is rendered, and once after", map[string]string{"Chart.yaml": meta, "templates/a.yaml": podOf("a", "quay.io/acme/a:1")}, Request{}, 2, []string{"quay.io/acme/a:1"}, nil, nil},
		"Registry": {"with the registry that the definition sets", map[string]string{"Chart.yaml": meta, "values.yaml": "registry: x.example.com\n", "templates/a.yaml": podOf("a", "{{ .Values.registry }}/acme/a:1")},
			Request{RegistryValuesPaths: []string{"registry"}}, 2, []string{"<registry>/acme/a:1"}, nil, nil},
		"Joined": {"a registry that is put before a name without a slash", map[string]string{"Chart.yaml": meta, "values.yaml": "registry: x.example.com/\n", "templates/a.yaml": podOf("a", "{{ .Values.registry }}acme/a:1")},
			Request{RegistryValuesPaths: []string{"registry"}}, 2, []string{"<registry>/acme/a:1"}, nil, []string{"without a slash"}},
		"Fails":   {"a file that fails is a problem", map[string]string{"Chart.yaml": meta, "templates/a.yaml": "{{ .Values.a.b.c }}", "templates/b.yaml": podOf("b", "b:1")}, Request{}, 2, []string{"b:1"}, []string{"templates/a.yaml"}, nil},
		"Tests":   {"one that has nothing but tests is not one", map[string]string{"Chart.yaml": meta, "templates/a.yaml": "kind: Pod\nmetadata: {annotations: {helm.sh/hook: test}}\nspec: {{ .Values.a.b.c }}"}, Request{}, 2, nil, nil, []string{"templates/a.yaml"}},
		"NoYAML":  {"nor is one that nobody applies", map[string]string{"Chart.yaml": meta, "templates/a.txt": "- a", "templates/b.yaml": "- b"}, Request{}, 2, nil, []string{"templates/b.yaml is not an object"}, []string{"templates/a.txt is not an object"}},
		"BadName": {"an image that no runtime takes", map[string]string{"Chart.yaml": meta, "templates/a.yaml": podOf("a", "NOT AN IMAGE")}, Request{}, 2, []string{"NOT AN IMAGE"}, []string{"unreadable image"}, nil},
		"BadPath": {"a path to values that is not one", map[string]string{"Chart.yaml": meta}, Request{RegistryValuesPaths: []string{"a..b"}}, 2, nil, []string{"a..b"}, nil},
		"Library": {"a library renders nothing", map[string]string{"Chart.yaml": meta + "type: library\n", "templates/a.yaml": podOf("a", "a:1")}, Request{}, 1, nil, nil, nil},
		"NoChart": {"an archive without a chart", map[string]string{"README.md": "x"}, Request{}, 1, nil, []string{"Chart.yaml"}, nil},
		"Optional": {"what a dependency that is switched off would need comes last", map[string]string{
			"Chart.yaml":               meta + "dependencies: [{name: db, version: 1.0.0, condition: db.enabled}]\n",
			"values.yaml":              "db: {enabled: false}\n",
			"templates/a.yaml":         podOf("a", "a:1"),
			"charts/db/Chart.yaml":     "apiVersion: v2\nname: db\nversion: 1.0.0\n",
			"charts/db/templates/b":    podOf("b", "b:1"),
			"charts/db/templates/c":    podOf("c", "NOT AN IMAGE"),
			"charts/db/templates/d.md": "- d",
		}, Request{}, 3, []string{"a:1", "b:1"}, nil, []string{everyStage + ": "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := read(t, tc.q, tc.files)
			last := said[len(said)-1]
			for i, a := range said {
				if a.Done != (i == len(said)-1) || a.Read != (i == len(said)-1 || a.Unread != "") {
					t.Errorf("%s: answer %d of %d is %+v", tc.reason, i, len(said), a)
				}
			}
			var named, problems []string
			for _, image := range last.Chart.Images {
				named = append(named, images.Readable(image.Reference))
			}
			for _, p := range last.Problems {
				problems = append(problems, p.Text)
			}
			if len(said) != tc.said || !slices.Equal(named, tc.images) {
				t.Errorf("%s: after %d answers it names %q, want %q after %d", tc.reason, len(said), named, tc.images, tc.said)
			}
			for what, of := range map[string][2][]string{"problems": {problems, tc.problems}, "remarks": {last.Chart.Remarks, tc.remarks}} {
				if got := strings.Join(of[0], "\n"); (got == "") != (len(of[1]) == 0) || len(of[1]) > 0 && !strings.Contains(got, of[1][0]) {
					t.Errorf("%s: the %s are %q, want %q", tc.reason, what, got, of[1])
				}
			}
		})
	}
}

// A reading ends at the next answer if that cannot be delivered.
func TestReadingEndsWithItsListener(t *testing.T) {
	t.Parallel()
	gone := errors.New("the pipe is closed")
	archive := pack(map[string][]byte{
		"Chart.yaml": []byte("apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, condition: db.enabled}]\n"), "values.yaml": []byte("db: {enabled: false}\n"),
		"charts/db/Chart.yaml": []byte("apiVersion: v2\nname: db\nversion: 1.0.0\n"),
	})
	for last := range 3 {
		said := 0
		err := readChart(Request{Archive: archive}, func(chartAnswer) error {
			if said++; said > last {
				return gone
			}
			return nil
		})
		if !errors.Is(err, gone) || said != last+1 {
			t.Errorf("it tells %d times to one who goes after %d: %v", said, last, err)
		}
	}
	said := 0
	if err := readRecords([][]byte{nil, nil}, func(recordAnswer) error { said++; return gone }); !errors.Is(err, gone) || said != 1 {
		t.Errorf("records are said %d times: %v", said, err)
	}
}

// A record that cannot be read gets an error as its answer, and the records after it are read.
func TestRecordsAreReadInTheirOrder(t *testing.T) {
	t.Parallel()
	manifest := func(text string) []byte { return stored(t, releaseOf(1, "deployed", text))[0] }
	var all []recordAnswer
	records := [][]byte{manifest("---\n" + podOf("a", "a.example/a:1") + "---\n" + podOf("b", "a.example/a:1")), []byte("{{{"), manifest("---\n- a\n"), manifest("")}
	if err := readRecords(records, func(a recordAnswer) error { all = append(all, a); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 || all[0].Problem != nil || len(all[0].Release.Images) != 1 || all[0].Release.Images[0].Reference != "a.example/a:1" || all[3].Problem != nil || all[3].Release.Images != nil {
		t.Errorf("read are %+v", all)
	}
	for i, says := range map[int]string{1: "base64", 2: "its manifest: document 2"} {
		if p := all[i].Problem; p == nil || !strings.Contains(p.Text, says) {
			t.Errorf("record %d: %+v, want a problem that says %q", i, p, says)
		}
	}
	if _, err := readRecord([]byte("{{{")); !errors.Is(err, record.ErrUnreadable) {
		t.Errorf("%v", err)
	}
}

// A reading is out of date if the rules for reading charts have changed, or the limits that ended it.
func TestRevision(t *testing.T) {
	t.Parallel()
	of := func(l Limits) *Reader {
		r, err := NewReader(l, 1, "none")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	small, large := of(Limits{CPU: time.Second, Memory: 128 << 20}), of(Limits{CPU: time.Minute, Memory: 128 << 20})
	for _, tc := range []struct {
		reason string
		was    string
		want   bool
	}{
		{"no limit ended it", small.Revision(false), true},
		{"greater limits may show more", small.Revision(true), false},
		{"the same limits show the same", large.Revision(true), true},
		{"charts were read otherwise then", "0", false},
	} {
		if got := large.Current(tc.was); got != tc.want || len(tc.was) > 64 {
			t.Errorf("%s: %q is current: %t", tc.reason, tc.was, got)
		}
	}
}
