package platform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestParse(t *testing.T) {
	for _, good := range []string{"", "linux/amd64", "linux/arm64/v8", "linux/arm/v7,windows/amd64", "linux/s390x,linux/ppc64le"} {
		var l List
		if err := l.Set(good); err != nil || l.String() != good {
			t.Errorf("%q is read as %q, %v", good, l, err)
		}
	}
	for _, bad := range []string{"amd64", "linux", "linux/", "linux/x86_64", "Linux/amd64", "linux/amd64,", "linux/arm64/8", "linux/arm64/v8/x", "darwin/arm64", " linux/amd64", "all", "linux/amd64\n"} {
		var l List
		if err := l.Set(bad); err == nil || !strings.Contains(err.Error(), "linux/amd64 or linux/arm64/v8") {
			t.Errorf("%q is read as %q, %v", bad, l, err)
		}
	}
	twice, err := Parse([]string{"linux/amd64", "linux/amd64"})
	if err != nil || len(twice) != 1 {
		t.Errorf("the same platform twice: %v, %v", twice, err)
	}
	var many []string
	for n := range Most + 1 {
		many = append(many, "linux/arm/v"+string(rune('0'+n/10))+string(rune('0'+n%10)))
	}
	if _, err := Parse(many); err == nil {
		t.Error("more platforms than there may be")
	}
}

// entry is a child of an index. Its digest is derived from name, and of is the name of the child that it attests.
type entry struct{ name, platform, of, mediaType string }

func indexOf(t *testing.T, entries []entry) []byte {
	t.Helper()
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	for _, e := range entries {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(e.name)}
		if e.mediaType != "" {
			d.MediaType = e.mediaType
		}
		if e.platform != "" {
			parts := append(strings.SplitN(e.platform, "/", 3), "", "")
			d.Platform = &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
		}
		if e.of != "" {
			d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest.FromString(e.of).String()}
		}
		i.Manifests = append(i.Manifests, d)
	}
	data, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestChoose(t *testing.T) {
	built := []entry{{name: "amd", platform: "linux/amd64"}, {name: "arm", platform: "linux/arm64"}, {name: "of amd", platform: "unknown/unknown", of: "amd"}, {name: "of arm", platform: "unknown/unknown", of: "arm"}}
	arms := []entry{{name: "5", platform: "linux/arm/v5"}, {name: "6", platform: "linux/arm/v6"}, {name: "7", platform: "linux/arm/v7"}, {name: "any", platform: "linux/arm"}, {name: "8", platform: "linux/arm64/v8"}}
	index, docker := ocispec.MediaTypeImageIndex, dockerManifestList
	for _, tt := range []struct {
		reason, list string
		children     []entry
		want         []string
		matched      bool
	}{
		{"all without a list", "", built, []string{"amd", "arm", "of amd", "of arm"}, true},
		{"one platform and its attestation", "linux/amd64", built, []string{"amd", "of amd"}, true},
		{"the other one", "linux/arm64/v8", built, []string{"arm", "of arm"}, true},
		{"both", "linux/amd64,linux/arm64", built, []string{"amd", "arm", "of amd", "of arm"}, true},
		{"another operating system", "windows/amd64", built, []string{"amd", "arm", "of amd", "of arm"}, false},
		{"all variants", "linux/arm", arms, []string{"5", "6", "7", "any"}, true},
		{"one variant, and what names none", "linux/arm/v7", arms, []string{"7", "any"}, true},
		{"a variant that nothing has but what names none", "linux/arm/v6", arms[2:4], []string{"any"}, true},
		{"a variant that nothing has", "linux/arm/v6", arms[2:3], []string{"7"}, false},
		{"no platforms at all", "linux/amd64", []entry{{name: "a"}, {name: "b"}}, []string{"a", "b"}, true},
		{"no platform beside others", "linux/amd64", []entry{{name: "a"}, {name: "arm", platform: "linux/arm64"}}, []string{"a"}, true},
		{"unknown platforms that attest nothing", "linux/amd64", []entry{{name: "a", platform: "unknown/unknown"}, {name: "amd", platform: "linux/amd64"}}, []string{"a", "amd"}, true},
		{"half a platform", "linux/amd64", []entry{{name: "a", platform: "linux/"}, {name: "b", platform: "/arm64"}}, []string{"a", "b"}, true},
		{"an attestation without a platform", "linux/amd64", []entry{{name: "of arm", of: "arm"}, {name: "arm", platform: "linux/arm64"}, {name: "amd", platform: "linux/amd64"}}, []string{"amd"}, true},
		{"an attestation of what is elsewhere", "linux/amd64", []entry{{name: "amd", platform: "linux/amd64"}, {name: "of it", of: "elsewhere"}}, []string{"amd", "of it"}, true},
		{"an attestation of an attestation", "linux/amd64", []entry{{name: "amd", platform: "linux/amd64"}, {name: "of arm", of: "arm"}, {name: "arm", platform: "linux/arm64"}, {name: "more", of: "of arm"}}, []string{"amd", "more"}, true},
		{"attestations are no match", "linux/amd64", []entry{{name: "arm", platform: "linux/arm64"}, {name: "of it", of: "elsewhere"}}, []string{"arm", "of it"}, false},
		{"an attestation of what has no platform", "linux/amd64", []entry{{name: "a"}, {name: "of a", of: "a"}}, []string{"a", "of a"}, true},
		{"one manifest for two platforms", "linux/amd64", []entry{{name: "fat", platform: "linux/arm64"}, {name: "fat", platform: "linux/amd64"}, {name: "arm", platform: "linux/arm64"}}, []string{"fat"}, true},
		{"an index of indexes", "linux/amd64", []entry{{name: "a", mediaType: index}, {name: "b", mediaType: docker}}, []string{"a", "b"}, false},
		{"an index beside images", "linux/amd64", []entry{{name: "a", mediaType: index}, {name: "arm", platform: "linux/arm64"}}, []string{"a"}, false},
		{"an index of a platform", "linux/amd64", []entry{{name: "a", mediaType: index, platform: "linux/amd64"}, {name: "b", mediaType: index, platform: "linux/arm64"}}, []string{"a"}, true},
		{"nothing", "linux/amd64", nil, nil, true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var l List
			if err := l.Set(tt.list); err != nil {
				t.Fatal(err)
			}
			c := l.Choose(indexOf(t, tt.children))
			var got []string
			for _, e := range tt.children {
				if c.Has(digest.FromString(e.name)) && !slices.Contains(got, e.name) {
					got = append(got, e.name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || c.Matched != tt.matched {
				t.Errorf("matched: %t, %s", c.Matched, diff)
			}
		})
	}
}

// A child that another parser finds in the same bytes, but Choose does not, is chosen: encoding/json takes \u017f for an s.
func TestChooseKeepsWhatOthersRead(t *testing.T) {
	l := List{{OS: "linux", Architecture: "amd64"}}
	a, b := digest.FromString("a"), digest.FromString("b")
	for _, text := range []string{
		`{"manifests":[{"digest":"` + a.String() + `","digeſt":"` + b.String() + `","platform":{"os":"linux","architecture":"arm64"}},{"platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"manifests":[{"digest":"` + a.String() + `"}],"manifeſts":[{"digest":"` + b.String() + `","platform":{"os":"linux","architecture":"amd64"}}]}`,
	} {
		if c := l.Choose([]byte(text)); !c.Has(a) {
			t.Errorf("%s: %+v", text, c)
		}
	}
	many := make([]entry, maxChildren+1)
	for i := range many {
		many[i] = entry{name: fmt.Sprint(i), platform: fmt.Sprintf("linux/%d", i)}
	}
	many[0].platform = "linux/amd64"
	for size, all := range map[int]bool{maxChildren: false, maxChildren + 1: true} {
		if c := l.Choose(indexOf(t, many[:size])); c.Has(digest.FromString("1")) != all || !c.Matched {
			t.Errorf("of %d children those of other platforms are chosen: %t", size, !all)
		}
	}
}

// A child that cannot be parsed is chosen.
func TestChooseWhatIsUnclear(t *testing.T) {
	l := List{{OS: "linux", Architecture: "amd64"}}
	d := digest.FromString("arm")
	for _, text := range []string{
		`{"manifests":[{"digest":"` + d.String() + `","platform":{"os":"linux","architecture":"arm64"},"annotations":"none"}]}`,
		`{"manifests":[{"digest":"` + d.String() + `","platform":"linux/arm64"}]}`, `{"manifests":{}}`, `x`, ``, `{}`,
	} {
		if c := l.Choose([]byte(text)); !c.Has(d) || !c.Matched {
			t.Errorf("%s: %+v", text, c)
		}
	}
	c := l.Choose(indexOf(t, []entry{{name: "a", platform: "linux/arm64"}, {name: "b", platform: "linux/arm/v7"}, {name: "c", platform: "linux/arm64"}}))
	if diff := cmp.Diff([]string{"linux/arm64", "linux/arm/v7"}, c.Platforms); diff != "" || c.Matched {
		t.Error("the platforms that there are:", diff)
	}
}
