package mailbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Message is what was taken, as far as it could be read. Its fields hold whatever
// the sender wrote.
type Message struct {
	// ID counts from 1.
	ID uint64    `json:"id"`
	At time.Time `json:"at"`
	// Sender and To are the envelope's: who gets the message, whatever it says.
	Sender string   `json:"sender"`
	To     []string `json:"to"`
	// From and Subject are its headers, decoded.
	From    string `json:"from"`
	Subject string `json:"subject"`
	// Text and HTML are its first parts of these types. A message that cannot be
	// read is all Text.
	Text string `json:"text"`
	HTML string `json:"html"`
	// Links are those of Text, http and https only.
	Links []string `json:"links"`

	size int
}

const (
	maxParts  = 32
	maxNested = 4
	maxLinks  = 32
)

var linkPattern = regexp.MustCompile(`https?://[^\s<>"]+`)

// parse reads a message. It takes anything.
func parse(content []byte) Message {
	m := Message{size: len(content), Links: []string{}}
	read, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		m.Text = clean(content)
	} else {
		m.From, m.Subject = decoded(read.Header.Get("From")), decoded(read.Header.Get("Subject"))
		left := maxParts
		if m.part(textproto.MIMEHeader(read.Header), read.Body, maxNested, &left) != nil || m.Text == "" && m.HTML == "" {
			m.Text = clean(content)
		}
	}
	for _, link := range linkPattern.FindAllString(m.Text, maxLinks) {
		link = strings.TrimRight(link, ".,;:!?)")
		if !slices.Contains(m.Links, link) {
			m.Links = append(m.Links, link)
		}
	}
	return m
}

var errTooDeep = errors.New("too many parts")

// part reads one part, and those inside it.
func (m *Message) part(header textproto.MIMEHeader, body io.Reader, deep int, left *int) error {
	if *left--; *left < 0 || deep < 0 {
		return errTooDeep
	}
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, parameters["boundary"])
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := m.part(p.Header, p, deep-1, left); err != nil {
				return err
			}
		}
	}
	into := &m.Text
	switch {
	case kind == "text/html":
		into = &m.HTML
	case kind != "text/plain":
		return nil
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if *into == "" {
		*into = clean(content)
	}
	return nil
}

// clean makes a text of bytes: UTF-8, with line feeds only.
func clean(content []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(content), "\uFFFD"), "\r\n", "\n")
}

// decoded is a header as people read it; one that cannot be decoded stays as it is.
func decoded(header string) string {
	if text, err := new(mime.WordDecoder).DecodeHeader(header); err == nil {
		header = text
	}
	return clean([]byte(header))
}
