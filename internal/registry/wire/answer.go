package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/nfo-operator/nfo/internal/registry/failure"
)

// answerBody is the body of an answer. Closing it ends the request.
type answerBody struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.end(context.Canceled)
	return err
}

// Consume reads the body of an answer, of at most limit bytes, and gives it to decode. The bytes count against
// the budget until decode returns. Errors wrap ErrUnreadable if the body is longer than limit, and ErrUnavailable
// if the body is incomplete, takes longer than the client's bodyTimeout, or gets no share of the budget in time.
func (c *Client) Consume(resp *http.Response, limit int64, decode func(data []byte) error) error {
	reserved := limit
	if resp.ContentLength >= 0 {
		reserved = resp.ContentLength
	}
	if reserved > limit {
		return tooLarge(limit)
	}
	release, err := c.reserve(resp.Request.Context(), c.budget.bodies, reserved)
	if err != nil {
		return err
	}
	defer release()
	data, err := c.readAll(resp, limit)
	if err != nil {
		return err
	}
	return decode(data)
}

// readAll reads a body of at most limit bytes.
func (c *Client) readAll(resp *http.Response, limit int64) (data []byte, err error) {
	if body, ok := resp.Body.(*answerBody); ok {
		timer := time.AfterFunc(c.bodyTimeout, func() { body.end(errSlowBody) })
		defer timer.Stop()
	}
	if resp.ContentLength >= 0 {
		data = make([]byte, resp.ContentLength)
		_, err = io.ReadFull(resp.Body, data)
	} else {
		data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	}
	switch slow := context.Cause(resp.Request.Context()); {
	case err != nil && errors.Is(slow, errSlowBody):
		return nil, c.Fail(failure.ErrUnavailable, fmt.Errorf("%w: after %s it was not whole", slow, c.bodyTimeout))
	case err != nil:
		return nil, c.Fail(failure.ErrUnavailable, err)
	case int64(len(data)) > limit:
		return nil, tooLarge(limit)
	}
	return data, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: it is larger than %d bytes", failure.ErrUnreadable, limit)
}
