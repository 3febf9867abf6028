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

// Attacks returns all attacks. The true parts of answers come from the registry.
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

// NeverAnswers accepts every request and sends no answer.
func NeverAnswers() Attack {
	return Attack{Name: "never answers", about: everything, answer: func(_ http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // the server sees a disconnect only after reading the body
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	}}
}

// EndlessBody answers every request with an endless body without a length.
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

// WrongLength announces 4 MiB for every request, sends a few bytes and closes the connection.
func WrongLength() Attack {
	return raw("wrong length", "HTTP/1.1 200 OK\r\nContent-Type: "+ocispec.MediaTypeImageManifest+"\r\nContent-Length: "+strconv.Itoa(manifestBytes)+"\r\n\r\n{\"layers\":", "", 0)
}

// GzipBomb answers every request with 64 MiB of spaces, compressed to some kilobytes.
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

// RedirectLoop redirects every request to another query of the same path, endlessly.
func RedirectLoop() Attack {
	return Attack{Name: "redirect loop", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		hop, _ := strconv.Atoi(req.URL.Query().Get("hop"))
		w.Header().Set("Location", fmt.Sprintf("%s?hop=%d&rest=%s", req.URL.Path, hop+1, strings.Repeat("x", 4<<10)))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}}
}

// askForToken requires a token from the same host.
func askForToken(w http.ResponseWriter, req *http.Request, realm string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="%s",scope="%s"`, req.Host, realm, strings.Repeat("s", 1<<10), strings.Repeat("repository:a:pull ", 50)))
	w.WriteHeader(http.StatusUnauthorized)
}

// AuthLoop requires a token for every request, including the request for the token.
func AuthLoop() Attack {
	return Attack{Name: "auth loop", about: everything, answer: func(w http.ResponseWriter, req *http.Request) { askForToken(w, req, "/v2/token/tags/list") }}
}

// HugeTokens requires a token for every request, and returns a token of 100 KiB that it does not accept.
func HugeTokens() Attack {
	return Attack{Name: "huge tokens", about: everything, answer: func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/v2/token/") {
			_, _ = fmt.Fprintf(w, `{"token":"%s"}`, strings.Repeat("t", 100<<10))
			return
		}
		askForToken(w, req, "/v2/token/tags/list")
	}}
}

// HugeHeaders answers every request with 8 MiB of headers.
func HugeHeaders() Attack {
	return raw("huge headers", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", "X-Large: "+strings.Repeat("h", 4<<10)+"\r\n", 2048)
}

// EndlessHints answers every request with an endless number of 103 Early Hints.
func EndlessHints() Attack {
	return raw("endless hints", "", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", -1)
}

// raw answers every request with bytes and then closes the connection. The bytes
// are first, followed by again as many times as times says; -1 for endlessly.
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

// RetryAfterAYear answers every request with 429 and a Retry-After of one year.
func RetryAfterAYear() Attack {
	return Attack{Name: "retry after a year", about: everything, answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "31536000")
		w.WriteHeader(http.StatusTooManyRequests)
	}}
}

// SelfLink answers a request for tags with a page whose link to the next page never changes.
func SelfLink() Attack {
	return Attack{Name: "self link", about: []Ask{AskTags}, answer: func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=a>; rel="next"`, req.URL.Path))
		sending("application/json", []byte(`{"tags":["a"]}`))(w, req)
	}}
}
