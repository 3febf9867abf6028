package registrytest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Attacks are all attacks. The registry is what the true parts of answers come from.
func (r *Registry) Attacks() []Attack {
	all := []Attack{
		EmptyChildren(), ManyChildren(), RichChildren(), LongConfigType(), LongNumber(), r.LongType(), ManyTags(8 << 20), EndlessTags(), SelfLink(), ManyErrors(), Drip(),
		NeverAnswers(), EndlessBody(), WrongLength(), GzipBomb(), RedirectLoop(), AuthLoop(), HugeTokens(), HugeHeaders(), EndlessHints(), RetryAfterAYear(),
	}
	for _, a := range []Attack{NeverAnswers(), EndlessBody(), RedirectLoop(), HugeTokens(), HugeHeaders(), EndlessHints(), RetryAfterAYear()} {
		all = append(all, a.OfWrites())
	}
	return all
}

var everything = []Ask{AskEverything}

// NeverAnswers takes every request and says nothing.
func NeverAnswers() Attack {
	return Attack{Name: "never answers", about: everything, answer: func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // only then a server sees that its client has gone
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	}}
}

// EndlessBody answers everything with a body that has no length and no end.
func EndlessBody() Attack {
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	return Attack{Name: "endless body", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		for req.Method != http.MethodHead {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}}
}

// WrongLength announces 4 MiB for everything, sends ten bytes and breaks the connection.
func WrongLength() Attack {
	return raw("wrong length", "HTTP/1.1 200 OK\r\nContent-Type: "+ocispec.MediaTypeImageManifest+"\r\nContent-Length: "+strconv.Itoa(manifestBytes)+"\r\n\r\n{\"layers\":", "", 0)
}

// GzipBomb answers everything with 64 MiB of spaces, compressed to some kilobytes.
func GzipBomb() Attack {
	packed := sync.OnceValue(func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range 1024 {
			_, _ = z.Write(bytes.Repeat([]byte(" "), 64<<10))
		}
		_ = z.Close()
		return b.Bytes()
	})
	return Attack{Name: "gzip bomb", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		sending(ocispec.MediaTypeImageManifest, packed())(w, req)
	}}
}

// RedirectLoop sends every request on to another path of the same registry, for ever.
func RedirectLoop() Attack {
	return Attack{Name: "redirect loop", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		hop, _ := strconv.Atoi(req.URL.Query().Get("hop"))
		w.Header().Set("Location", fmt.Sprintf("%s?hop=%d&rest=%s", req.URL.Path, hop+1, strings.Repeat("x", 4<<10)))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
}

// askForToken asks for a token of the same host.
func askForToken(w http.ResponseWriter, req *http.Request, realm string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="%s",scope="%s"`, req.Host, realm, strings.Repeat("s", 1<<10), strings.Repeat("repository:a:pull ", 50)))
	w.WriteHeader(http.StatusUnauthorized)
}

// AuthLoop asks for a token for everything, also for the token.
func AuthLoop() Attack {
	return Attack{Name: "auth loop", about: everything, answer: func(w http.ResponseWriter, req *http.Request) { askForToken(w, req, "/v2/token/tags/list") }}
}

// HugeTokens asks for a token for everything, and gives one of 100 KiB that it does not accept.
func HugeTokens() Attack {
	return Attack{Name: "huge tokens", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v2/token/") {
			_, _ = fmt.Fprintf(w, `{"token":"%s"}`, strings.Repeat("t", 100<<10))
			return
		}
		askForToken(w, req, "/v2/token/tags/list")
	}}
}

// HugeHeaders answers everything with 8 MiB of headers.
func HugeHeaders() Attack {
	return raw("huge headers", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", "X-Large: "+strings.Repeat("h", 4<<10)+"\r\n", 2048)
}

// EndlessHints answers everything with 103 Early Hints that have no end.
func EndlessHints() Attack {
	return raw("endless hints", "", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", -1)
}

// raw answers everything with bytes: first, and then the same again and again, times or for ever, and breaks the
// connection.
func raw(name, first, again string, times int) Attack {
	return Attack{Name: name, about: everything, answer: func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, err = buffered.WriteString(first)
		for i := 0; err == nil && i != times; i++ {
			_, err = buffered.WriteString(again)
		}
		_ = buffered.Flush()
	}}
}

// RetryAfterAYear answers everything with 429 and asks for a year of patience.
func RetryAfterAYear() Attack {
	return Attack{Name: "retry after a year", about: everything, answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "31536000")
		w.WriteHeader(http.StatusTooManyRequests)
	}}
}

// SelfLink answers a request for tags with a page whose next one is itself.
func SelfLink() Attack {
	return Attack{Name: "self link", about: []Ask{AskTags}, answer: func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=a>; rel="next"`, req.URL.Path))
		sending("application/json", []byte(`{"tags":["a"]}`))(w, req)
	}}
}
