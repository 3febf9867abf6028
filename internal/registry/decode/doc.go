// Package decode reads lists in JSON one element at a time.
//
// Contract: a list takes no more memory than the part of it that the caller keeps, and is
// unreadable beyond a number of entries. If one of the fields that are decoded with [Field] occurs twice,
// a field of a descriptor included, the document is unreadable, because it depends on the reader which
// of the two counts (I2).
//
// Decision: encoding/json decodes the elements of a list, and first checks the whole document.
// Rejected: a json.Decoder for whole documents, because it ignores what follows the first value (I2).
package decode
