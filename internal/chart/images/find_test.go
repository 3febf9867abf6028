package images_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nfo-operator/nfo/internal/chart/images"
	"github.com/nfo-operator/nfo/internal/chart/render"
)

// found returns the images of one rendered file as one list: their
// origin, why they are needed and where they are referenced.
func found(t *testing.T, file string) (list []string) {
	t.Helper()
	got, problems := images.Find(render.Rendering{Files: map[string]string{"app/templates/a.yaml": file}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var all images.Found
	if problems := all.Need(got, images.Registry, nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	return listed(t, &all)
}

func listed(t *testing.T, all *images.Found) (list []string) {
	t.Helper()
	merged, err := all.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range merged {
		line := string(i.Origin) + " " + string(i.Why) + " " + images.Readable(i.Reference)
		for _, s := range i.Sources {
			line += "; " + s.String()
		}
		list = append(list, line)
	}
	return list
}

const at = "app/templates/a.yaml "

func TestFind(t *testing.T) {
	t.Parallel()
	secret := base64.StdEncoding.EncodeToString([]byte("run " + images.Registry + "/acme/job:1"))
	for name, tc := range map[string]struct {
		reason, file string
		want         []string
	}{
		"Pod": {"a pod pulls it, and latest is what runtimes assume", `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers: [{name: i, image: ` + images.Registry + `/acme/init@sha256:` + strings.Repeat("1", 64) + `}]
  containers: [{name: web, image: nginx}, {name: own, image: "` + images.Registry + `/acme/upf:1"}]
  volumes: [{name: v, image: {reference: quay.io/acme/model:2}}]
`, []string{
			"Foreign Deployed nginx; " + at + "Pod/p spec.containers.web.image",
			"Foreign Deployed quay.io/acme/model:2; " + at + "Pod/p spec.volumes.v.image.reference",
			"Ours Deployed <registry>/acme/init@sha256:" + strings.Repeat("1", 64) + "; " + at + "Pod/p spec.initContainers.i.image",
			"Ours Deployed <registry>/acme/upf:1; " + at + "Pod/p spec.containers.own.image",
		}},
		"List": {"a list has objects in it", `
apiVersion: v1
kind: PodList
items: [{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: "a:1"}]}}]
`, []string{"Foreign Deployed a:1; " + at + "Pod/p spec.containers.a.image"}},
		"Test": {"only helm test applies it", `
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: {helm.sh/hook: "test-success, test"}}
spec: {containers: [{name: a, image: "a:1"}]}
`, []string{"Foreign Test a:1; " + at + "Pod/p spec.containers.a.image"}},
		"Hook": {"another hook is applied by every installation", `
apiVersion: v1
kind: Pod
metadata: {name: p, annotations: {helm.sh/hook: "pre-install,test"}}
spec: {containers: [{name: a, image: "a:1"}]}
`, []string{"Foreign Deployed a:1; " + at + "Pod/p spec.containers.a.image"}},
		"Custom": {"operators make pods of their own kinds", `
apiVersion: acme.example/v1
kind: Upf
metadata: {name: u}
spec:
  sidecarImage: quay.io/acme/sidecar:1
  image: {repository: quay.io/acme/upf, tag: "2.0"}
  extraImages: [quay.io/acme/extra:3, not an image]
  imageProxy: off
`, []string{
			"Foreign Deployed quay.io/acme/extra:3; " + at + "Upf/u spec.extraImages.0",
			"Foreign Deployed quay.io/acme/sidecar:1; " + at + "Upf/u spec.sidecarImage",
			"Foreign Deployed quay.io/acme/upf:2.0; " + at + "Upf/u spec.image",
		}},
		"Known": {"a ConfigMap makes no pods", `
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {sidecarImage: "quay.io/acme/sidecar:1", web: "https://` + images.Registry + `/acme/page"}
`, nil},
		"Text": {"an argument is the store's image if it names the registry", `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a, image: "a:1", args: ["--image=` + images.Registry + `:5000/acme/side:2", "` + images.Registry + `/acme/open-$(X)", "` + images.Registry + `"]}]}
`, []string{
			"Foreign Deployed a:1; " + at + "Pod/p spec.containers.a.image",
			"Ours Deployed <registry>/acme/side:2; " + at + "Pod/p spec.containers.a.args.0 (in a text)",
		}},
		"Escaped": {"a newline that a program writes is not part of a name", `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a, image: "a:1", args: ['printf "pull\n` + images.Registry + `/acme/side:2\n"']}]}
`, []string{
			"Foreign Deployed a:1; " + at + "Pod/p spec.containers.a.image",
			"Ours Deployed <registry>/acme/side:2; " + at + "Pod/p spec.containers.a.args.0 (in a text)",
		}},
		"Embedded": {"a text can be YAML with an image in a table", `
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {app.yaml: "image: {registry: ` + images.Registry + `, repository: acme/inner, tag: 4}\n"}
`, []string{"Ours Deployed <registry>/acme/inner:4; " + at + "ConfigMap/c data.app.yaml (in a text)"}},
		"Secret": {"and in base64", `
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {run: ` + secret + `}
`, []string{"Ours Deployed <registry>/acme/job:1; " + at + "Secret/s data.run (in a text)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, found(t, tc.file)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// A document that cannot be decoded hides no image of the store, and does not stop the others.
func TestI1WhatCannotBeDecodedIsSearchedAsText(t *testing.T) {
	t.Parallel()
	file := "{ " + images.Registry + "/acme/broken:1\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: \"a:1\"}]}\n"
	got, problems := images.Find(render.Rendering{Files: map[string]string{"app/templates/a.yaml": file}})
	if len(problems) != 1 || !errors.Is(problems[0].Err, render.ErrFailed) || problems[0].File != "app/templates/a.yaml" {
		t.Errorf("the problems are %v", problems)
	}
	var all images.Found
	if problems := all.Need(got, images.Registry, nil); len(problems) > 0 {
		t.Error(problems)
	}
	want := []string{"Foreign Deployed a:1; " + at + "Pod/p spec.containers.a.image", "Ours Deployed <registry>/acme/broken:1; " + at + "/  (in a text)"}
	if diff := cmp.Diff(want, listed(t, &all)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func pod(name, image string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: a, image: \"" + image + "\"}]}\n"
}

// References to the same image in values, templates and dependencies
// become one image, with the reason of the highest priority.
func TestFoundIsOneList(t *testing.T) {
	t.Parallel()
	files := func(of map[string]string) []images.Finding {
		got, problems := images.Find(render.Rendering{Files: of})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return got
	}
	deployed := map[string]string{"app/templates/a.yaml": pod("p", images.Registry+"/acme/upf:1")}
	whole := map[string]string{"app/templates/a.yaml": deployed["app/templates/a.yaml"], "app/charts/db/templates/b.yaml": pod("db", images.Registry+"/acme/db:1")}
	var all images.Found
	problems := append(all.Need(files(deployed), images.Registry, nil), all.AddOptional(files(whole), images.Registry, nil)...)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	all.AddValues(images.FindInValues(map[string]any{
		"upf": map[string]any{"image": map[string]any{"repository": "acme/upf"}},
		"cli": map[string]any{"image": "acme/cli", "tag": "3"},
	}, images.Registry))
	want := []string{
		"Ours Values <registry>/acme/cli:3; values cli.image",
		"Ours Dependency <registry>/acme/db:1; app/charts/db/templates/b.yaml Pod/db spec.containers.a.image",
		"Ours Deployed <registry>/acme/upf:1; " + at + "Pod/p spec.containers.a.image; values upf.image",
	}
	if diff := cmp.Diff(want, listed(t, &all)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	merged, err := all.List()
	if err != nil {
		t.Fatal(err)
	}
	for i, optional := range []bool{true, true, false} {
		if merged[i].Optional() != optional {
			t.Errorf("%s is optional: %t, want %t", merged[i].Reference, merged[i].Optional(), optional)
		}
	}
}

// A text without a tag may mean any version of an image that is referenced
// elsewhere, or a path to several images. It adds no image then.
func TestATextWithoutATagIsNoImageMore(t *testing.T) {
	t.Parallel()
	got := found(t, `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: a, image: "`+images.Registry+`/acme/upf:1", args: ["`+images.Registry+`/acme/upf", "`+images.Registry+`/acme", "`+images.Registry+`/other/one"]}]}
`)
	want := []string{
		"Ours Deployed <registry>/acme/upf:1; " + at + "Pod/p spec.containers.a.args.0 (in a text); " + at + "Pod/p spec.containers.a.image",
		"Ours Deployed <registry>/other/one; " + at + "Pod/p spec.containers.a.args.2 (in a text)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A reference that no runtime accepts is an error of a deployed object, but not in a file that failed or in a test.
func TestUnreadableReferences(t *testing.T) {
	t.Parallel()
	hook := strings.Replace(pod("p", "NOT AN IMAGE"), "{name: p}", "{name: p, annotations: {helm.sh/hook: test}}", 1)
	for name, tc := range map[string]struct {
		reason, file string
		failed       bool
		says         string
		joined       bool
	}{
		"Broken":   {reason: "no runtime takes it", file: pod("p", "NOT AN IMAGE"), says: `in app/templates/a.yaml, Pod p: the chart names an unreadable image: "NOT AN IMAGE"`},
		"Failed":   {reason: "a required value may be what is missing", file: pod("p", ":1"), failed: true},
		"Test":     {reason: "nothing needs it", file: hook},
		"Host":     {reason: "the chart makes another host of the registry", file: pod("p", images.Registry+".acme/X:1"), says: "makes another host"},
		"Whole":    {reason: "the value is taken for a repository", file: pod("p", images.Registry+":1"), says: "takes for a whole repository"},
		"NoSlash":  {reason: "the value must end with a slash", file: pod("p", images.Registry+"acme/upf:1"), joined: true},
		"WithPort": {reason: "or with a port", file: pod("p", images.Registry+":5000/acme/upf:1"), joined: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, problems := images.Find(render.Rendering{Files: map[string]string{"app/templates/a.yaml": tc.file}})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			failed := map[string]error{}
			if tc.failed {
				failed["app/templates/a.yaml"] = errors.New("a value is missing")
			}
			for optional, add := range map[bool]func(*images.Found) []error{
				false: func(f *images.Found) []error { return f.Need(got, images.Registry, failed) },
				true:  func(f *images.Found) []error { return f.AddOptional(got, images.Registry, failed) },
			} {
				var all images.Found
				problems := add(&all)
				if optional && name == "Test" {
					continue // dependencies are recognised by the template alone
				}
				if (tc.says != "") != (len(problems) == 1) || tc.says != "" && (!errors.Is(problems[0], images.ErrImage) || !strings.Contains(problems[0].Error(), tc.says)) {
					t.Errorf("%s, optional %t: %v, want one that says %q", tc.reason, optional, problems, tc.says)
				}
				if got := len(all.Joined) > 0; got != (tc.joined && !optional) {
					t.Errorf("%s, optional %t: joined %v", tc.reason, optional, all.Joined)
				}
			}
		})
	}
}

func TestFindInValues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		values map[string]any
		want   []string
	}{
		"Table":     {"the usual form", map[string]any{"image": map[string]any{"registry": "quay.io", "repository": "acme/upf", "tag": 1.5}}, []string{"Foreign Values quay.io/acme/upf:1.5; values image"}},
		"Text":      {"a key that is an image", map[string]any{"db": map[string]any{"image": "acme/db", "imageTag": "2"}}, []string{"Ours Values <registry>/acme/db:2; values db.image"}},
		"Digest":    {"a digest in the place of a tag", map[string]any{"image": map[string]any{"repository": "acme/upf", "tag": "sha256:" + strings.Repeat("2", 64)}}, []string{"Ours Values <registry>/acme/upf@sha256:" + strings.Repeat("2", 64) + "; values image"}},
		"Global":    {"globals stand before every image", map[string]any{"global": map[string]any{"imageRegistry": "r.example.com"}, "image": map[string]any{"registry": "quay.io", "repository": "a/b", "tag": "1"}}, []string{"Foreign Values r.example.com/a/b:1; values image"}},
		"Defaults":  {"values that all images share", map[string]any{"defaultImageRegistry": "quay.io", "defaultImageRepository": "acme", "defaultImageTag": "7", "image": map[string]any{"repository": "upf"}}, []string{"Foreign Values quay.io/acme/upf:7; values image"}},
		"List":      {"a list of them", map[string]any{"images": []any{"quay.io/acme/a:1", "word", map[string]any{"repository": "acme/b", "tag": "1"}}}, []string{"Foreign Values quay.io/acme/a:1; values images.0", "Ours Values <registry>/acme/b:1; values images.2"}},
		"Root":      {"the values are one image", map[string]any{"repository": "acme/upf", "tag": "1"}, []string{"Ours Values <registry>/acme/upf:1; values ."}},
		"OtherRepo": {"the repository of something else", map[string]any{"git": map[string]any{"repository": "acme/config"}}, nil},
		"Words":     {"a word is the name of something", map[string]any{"sidecarImage": "enabled", "image": map[string]any{"name": "web"}}, nil},
		"Host":      {"a registry alone is not an image", map[string]any{"image": map[string]any{"repository": "localhost:5000", "tag": "1"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all images.Found
			all.AddValues(images.FindInValues(tc.values, images.Registry))
			if diff := cmp.Diff(tc.want, listed(t, &all)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestInManifest(t *testing.T) {
	t.Parallel()
	manifest := pod("a", "quay.io/acme/upf:1") + "---\n" + pod("b", "quay.io/acme/upf:1") + `---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {run: "docker run oci://quay.io/acme/job:2. Not quay.io/acme alone, nor a/b:1"}
---
` + pod("broken", "NOT AN IMAGE") + "---\n" + pod("long", "quay.io/"+strings.Repeat("a", images.MaxReference)+":1")
	got, err := images.InManifest(manifest)
	if diff := cmp.Diff([]string{"quay.io/acme/upf:1", "quay.io/acme/job:2"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := images.InManifest(pod("a", "a:1") + "---\n- a\n"); err == nil || !strings.Contains(err.Error(), "document 2") || got != nil {
		t.Errorf("a list is an object: %v, %v", got, err)
	}
}

// Texts for other programs are often JSON, which can itself be in JSON, each time with more backslashes.
func TestI14ReferencesInEscapedTexts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, text string
		want         []string
	}{
		"Plain":    {"JSON", `{"image":"r.example/acme/a:1"}`, []string{"r.example/acme/a:1"}},
		"Quoted":   {"a quote of JSON in JSON", `{"a":"{\"image\":\"r.example/acme/a:1\"}"}`, []string{"r.example/acme/a:1"}},
		"Deeper":   {"and of JSON in that", `{"a":"{\"b\":\"{\\\"image\\\":\\\"r.example/acme/a:1\\\"}\"}"}`, []string{"r.example/acme/a:1"}},
		"Newlines": {"the letter of an escape is not one of a name", `{"run":"#!/bin/sh\nr.example/acme/a:1\r\n\tnext.example/acme/b:1\nfoo"}`, []string{"r.example/acme/a:1", "next.example/acme/b:1"}},
		"Twice":    {"nor is that of an escape of an escape", `{"a":"{\"run\":\"x\\nr.example/acme/a:1\\ny\"}"}`, []string{"r.example/acme/a:1"}},
		"Code":     {"characters by their numbers", `{"a":"\u003cr.example/acme/a:1\u003e"}`, []string{"r.example/acme/a:1"}},
		"Slash":    {"some programs escape slashes", `{"a":"r.example\/acme\/a:1","b":"{\"c\":\"r.example\\\/acme\\\/b:1\"}"}`, []string{"r.example/acme/a:1", "r.example/acme/b:1"}},
		"Folder":   {"what is in a folder of Windows is in no registry", `C:\r.example\acme\a:1`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := images.InManifest("kind: ConfigMap\ndata:\n  a: |\n    " + tc.text + "\n")
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestOnlyTests(t *testing.T) {
	t.Parallel()
	hooked := func(hook string) string {
		return "kind: Pod\nmetadata:\n  annotations:\n    helm.sh/hook: " + hook + "\n"
	}
	for reason, tc := range map[string]struct {
		source string
		want   bool
	}{
		"a test":                        {hooked("test"), true},
		"a test in quotes":              {hooked(`"test-success"`), true},
		"two tests":                     {hooked("test") + "---\n" + hooked("'test'"), true},
		"a test and another object":     {hooked("test") + "---\nkind: Pod\n", false},
		"a hook that is also a test":    {hooked("pre-install,test"), false},
		"no hook":                       {"kind: Pod\n", false},
		"an object that is not decoded": {hooked("test") + "---\n{kind: Pod}\n", false},
		"an object that is included":    {`{{ include "common.deployment" . }}` + "\n---\n" + hooked("test"), false},
		"included after a test":         {hooked("test") + "{{- if .Values.on }}\n" + `{{ template "common.deployment" . }}` + "\n{{- end }}\n", false},
		"included and indented":         {"{{- if .Values.on -}}\n  " + `{{ include "common.deployment" . }}` + "\n{{- end }}\n---\n" + hooked("test"), false},
		"indented objects":              {hooked("test") + "---\n  kind: Deployment\n", false},
		"objects of a list":             {"kind: List\nitems:\n- kind: Deployment\n- kind: Pod\n  metadata:\n    annotations:\n      helm.sh/hook: test\n", false},
		"a test with labels": {`{{- /* {{ a test }} */ -}}` + "\n" + `{{- $name := include "name" . -}}` + "\n{{- if .Values.on }}\n---\n" + hooked("test") +
			`  labels:` + "\n" + `    {{- include "labels" . | nindent 4 }}` + "\n" + `{{ include "more" . | indent 4 }}` + "\n{{- end }}\n", true},
	} {
		if got := images.OnlyTests(tc.source); got != tc.want {
			t.Errorf("%s: %t, want %t", reason, got, tc.want)
		}
	}
	for file, want := range map[string]bool{"a.yaml": true, "a.tpl": true, "NOTES.txt": false, "README.md": false} {
		if images.IsManifest(file) != want {
			t.Errorf("%s is for the API server: %t, want %t", file, !want, want)
		}
	}
}

func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for range images.MaxSources + 1 {
		file.WriteString("---\n" + pod("p", "a:1"))
	}
	got, problems := images.Find(render.Rendering{Files: map[string]string{"a.yaml": file.String()}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var all images.Found
	all.Need(got, images.Registry, nil)
	if list, err := all.List(); !errors.Is(err, render.ErrTooLarge) || len(list) != 1 || len(list[0].Sources) > images.MaxSources {
		t.Errorf("%d images, %v", len(list), err)
	}
	s := images.Source{Template: strings.Repeat("t", 300), Kind: "Pod", Name: "p\n", Field: "f"}
	if text := s.String(); len(text) > images.MaxPlace || strings.Contains(text, "\n") {
		t.Errorf("a place is written %q", text)
	}
}
