// Package decode reads lists in JSON one element at a time.
//
// Contract: a list takes no more memory than what is kept of it, and is unreadable past a count. A field that is there twice
// makes a document unreadable, because which of the two counts depends on the reader (I2).
//
// Decision: encoding/json decodes the elements of a list, which checks the whole document first. Rejected: its Decoder
// for whole documents, which would take what follows the first value for nothing (I2).
package decode
