package registrytest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Attack is an answer that costs its receiver more than its sender.
type Attack struct {
	Name string
	// Body is the body of the answer, if it is always the same.
	Body []byte
	// about has the kinds of reads that the attack answers. Other requests get the true answer.
	about  []Ask
	answer http.HandlerFunc
	// writes says that the attack answers all writes, and no reads.
	writes bool
}

// OfWrites returns the same attack for writes. Reads get the true answer.
func (a Attack) OfWrites() Attack {
	a.Name, a.about, a.writes = a.Name+" to writes", nil, true
	return a
}

// Attack answers requests with an attack until Intercept(nil).
func (r *Registry) Attack(a Attack) {
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		ask, write := askOf(req), req.Method != http.MethodGet && req.Method != http.MethodHead
		if a.writes != write || !write && !slices.ContainsFunc(a.about, func(about Ask) bool { return about.includes(ask) }) {
			return false
		}
		a.answer(w, req)
		return true
	})
}

// manifestBytes is the maximum size of an image manifest.
const manifestBytes = 4 << 20

// EmptyChildren answers every request for a manifest with an index of 4 MiB whose children
// are empty objects. The answer to HEAD has no digest, so clients must read the index.
func EmptyChildren() Attack { return index("empty children", func(int) string { return "{}" }) }

// ManyChildren answers every request for a manifest with an index of 4 MiB of valid children.
func ManyChildren() Attack {
	return index("many children", func(i int) string {
		return `{"mediaType":"` + ocispec.MediaTypeImageManifest + `","size":1,"digest":"` + digest.FromString(strconv.Itoa(i)).String() + `"}`
	})
}

// RichChildren answers every request for a manifest with an index
// of 4 MiB whose few children have annotations, URLs and data.
func RichChildren() Attack {
	var rest strings.Builder
	for i := range 400 {
		fmt.Fprintf(&rest, `"%x":"",`, i)
	}
	extra := `"annotations":{` + strings.TrimSuffix(rest.String(), ",") + `},"urls":[` + strings.Repeat(`"",`, 200) + `""],"data":"` + strings.Repeat("A", 400) + `"`
	return index("rich children", func(i int) string {
		return `{"size":1,` + extra + `,"digest":"` + digest.FromString(strconv.Itoa(i)).String() + `"}`
	})
}

func index(name string, child func(i int) string) Attack {
	body := fill(`{"manifests":[`, child, `]}`, manifestBytes)
	return Attack{Name: name, Body: body, about: []Ask{AskManifests}, answer: sending(ocispec.MediaTypeImageIndex, body)}
}

// LongConfigType answers every request for a manifest with an image
// of 4 MiB. Nearly all of it is the media type of the config.
func LongConfigType() Attack {
	body := []byte(`{"config":{"size":1,"digest":"` + digest.FromString("").String() + `","mediaType":"` + strings.Repeat("x", manifestBytes-200) + `"},"layers":[]}`)
	return Attack{Name: "long config type", Body: body, about: []Ask{AskManifests}, answer: sending(ocispec.MediaTypeImageManifest, body)}
}

// LongNumber answers every request for a manifest with an image of 4 MiB. Nearly all of it is the size of the config.
func LongNumber() Attack {
	body := []byte(`{"config":{"size":` + strings.Repeat("1", manifestBytes-200) + `,"digest":"` + digest.FromString("").String() + `"},"layers":[]}`)
	return Attack{Name: "long number", Body: body, about: []Ask{AskManifests}, answer: sending(ocispec.MediaTypeImageManifest, body)}
}

// LongType answers HEAD of every manifest with a media type of 300 characters. The rest of the answer is true.
func (r *Registry) LongType() Attack {
	return Attack{Name: "long media type", about: []Ask{AskTagHead, AskDigestHead}, answer: func(w http.ResponseWriter, req *http.Request) {
		truth := httptest.NewRecorder()
		r.answer(truth, req)
		if truth.Code == http.StatusOK {
			truth.Header().Set("Content-Type", "application/"+strings.Repeat("x", 288))
		}
		answer{status: truth.Code, header: truth.Header()}.write(w)
	}}
}

// ManyTags answers a request for tags with one page of different tags, of that many bytes.
func ManyTags(bytes int) Attack {
	body := fill(`{"tags":[`, func(i int) string { return strconv.Quote(strconv.FormatInt(int64(i), 36)) }, `]}`, bytes)
	return Attack{Name: "many tags", Body: body, about: []Ask{AskTags}, answer: sending("application/json", body)}
}

// EndlessTags answers a request for tags with an endless number of pages of 1,000 tags of 128 characters.
func EndlessTags() Attack {
	return Attack{Name: "endless tags", about: []Ask{AskTags}, answer: func(w http.ResponseWriter, req *http.Request) {
		page, _ := strconv.Atoi(req.URL.Query().Get("last"))
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%d>; rel="next"`, req.URL.Path, page+1))
		var tags []string
		for i := range 1000 {
			tags = append(tags, fmt.Sprintf(`"%0128d"`, page*1000+i))
		}
		sending("application/json", []byte(`{"tags":[`+strings.Join(tags, ",")+`]}`))(w, req)
	}}
}

// ManyErrors answers every request for a manifest with 404 and 8 KiB of empty errors.
func ManyErrors() Attack {
	body := fill(`{"errors":[`, func(int) string { return "{}" }, `]}`, 8<<10)
	return Attack{Name: "many errors", Body: body, about: []Ask{AskManifests}, answer: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write(body)
	}}
}

// Drip announces a manifest of 4 MiB and sends one byte of it every 10 milliseconds.
func Drip() Attack {
	return Attack{Name: "drip", about: []Ask{AskManifests}, answer: func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		if req.Method == http.MethodHead {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(manifestBytes))
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			if flusher, ok := w.(http.Flusher); ok {
				flusher.Flush()
			}
			select {
			case <-req.Context().Done():
				return
			case <-tick.C:
			}
		}
	}}
}

// fill makes a list of as many elements as fit into a number of bytes.
func fill(begin string, element func(i int) string, end string, most int) []byte {
	var b bytes.Buffer
	b.WriteString(begin)
	for i := 0; ; i++ {
		e := element(i)
		if b.Len()+len(e)+len(end)+1 > most {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e)
	}
	b.WriteString(end)
	return b.Bytes()
}

// sending answers GET with a body, and HEAD without a digest.
func sending(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if req.Method == http.MethodHead {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}
