// SPDX-License-Identifier: Apache-2.0

package issuers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// What follows is an HTTP/2 client written out by hand, frame by frame, so that the Workload API is not judged by the
// library that serves it. Sources: RFC 9113, RFC 7541.

// Frame types and flags.
const (
	frameData, frameHeaders, frameReset, frameSettings, framePing, frameGoAway, frameWindow = 0, 1, 3, 4, 6, 7, 8

	flagEndStream, flagAck, flagEndHeaders = 0x1, 0x1, 0x4
)

// A wireCall is what one call looked like on the wire: its frames, in order, and what they held.
type wireCall struct {
	frames  []string // "HEADERS", "DATA", "HEADERS END"
	header  map[string]string
	trailer map[string]string
	data    []byte
}

// callByHand makes one call and reads frames until the stream ends.
func callByHand(conn net.Conn, path string, header [][2]string, message []byte) (wireCall, error) {
	var block []byte
	for _, h := range append([][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", path}}, header...) {
		block = append(block, 0) // literal, never in a table, its name spelt out
		block = appendText(appendText(block, h[0]), h[1])
	}
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = append(out, rawFrame(frameSettings, 0, 0, []byte{0, 1, 0, 0, 0, 0})...) // a header table of no bytes
	out = append(out, rawFrame(frameHeaders, flagEndHeaders, 1, block)...)
	out = append(out, rawFrame(frameData, flagEndStream, 1, message)...)
	if _, err := conn.Write(out); err != nil {
		return wireCall{}, err
	}
	return readCall(conn)
}

func appendText(to []byte, s string) []byte {
	if len(s) > 126 {
		panic("the hand-written client has short headers only")
	}
	return append(append(to, byte(len(s))), s...)
}

func rawFrame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

func readCall(conn net.Conn) (wireCall, error) {
	var c wireCall
	for first := true; ; first = false {
		head := make([]byte, 9)
		if _, err := io.ReadFull(conn, head); err != nil {
			return c, err
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			return c, err
		}
		kind, flags := head[3], head[4]
		if first && (kind != frameSettings || flags&flagAck != 0) {
			return c, fmt.Errorf("the server's first frame is of type %d, want SETTINGS", kind)
		}
		end, err := c.take(conn, kind, flags, payload)
		if end || err != nil {
			return c, err
		}
	}
}

func (c *wireCall) take(conn net.Conn, kind, flags byte, payload []byte) (end bool, err error) {
	switch kind {
	case frameSettings:
		if flags&flagAck == 0 {
			_, err = conn.Write(rawFrame(frameSettings, flagAck, 0, nil))
		}
		return false, err
	case framePing, frameWindow:
		return false, nil
	case frameHeaders:
		if flags&flagEndHeaders == 0 || flags&^(flagEndHeaders|flagEndStream) != 0 {
			return false, fmt.Errorf("flags %#x: this client reads whole header blocks with no padding", flags)
		}
		fields, err := readBlock(payload)
		if err != nil {
			return false, err
		}
		if c.header == nil {
			c.header = fields
		} else {
			c.trailer = fields
		}
		c.note("HEADERS", flags)
	case frameData:
		c.data = append(c.data, payload...)
		c.note("DATA", flags)
	case frameReset, frameGoAway:
		return false, fmt.Errorf("the server ended the stream with a frame of type %d", kind)
	}
	return flags&flagEndStream != 0, nil
}

func (c *wireCall) note(name string, flags byte) {
	if flags&flagEndStream != 0 {
		name += " END"
	}
	c.frames = append(c.frames, name)
}

// staticNames are the names of RFC 7541, appendix A; statusValues the values of its entries 8 to 14.
var (
	staticNames = strings.Fields(`:authority :method :method :path :path :scheme :scheme :status :status :status :status :status :status :status
		accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control
		content-disposition content-encoding content-language content-length content-location content-range content-type cookie date etag expect
		expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards
		proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding
		user-agent vary via www-authenticate`)
	statusValues = strings.Fields("200 204 206 304 400 404 500")
)

var errBlock = errors.New("a header block that this client does not read")

// readBlock decodes a header block that uses no dynamic table, as the client's settings ask.
func readBlock(b []byte) (map[string]string, error) {
	fields := map[string]string{}
	for len(b) > 0 {
		var index int
		var err error
		switch first := b[0]; {
		case first&0x80 != 0: // indexed
			if index, b, err = readInt(b, 7); err != nil || index < 8 || index > 14 {
				return nil, errBlock
			}
			fields[":status"] = statusValues[index-8]
			continue
		case first&0xe0 == 0x20: // table size, which has to be none
			if index, b, err = readInt(b, 5); err != nil || index != 0 {
				return nil, errBlock
			}
			continue
		case first&0xc0 == 0x40:
			index, b, err = readInt(b, 6)
		default:
			index, b, err = readInt(b, 4)
		}
		var name, value string
		if err == nil && index == 0 {
			name, b, err = readText(b)
		} else if err == nil && index <= len(staticNames) {
			name = staticNames[index-1]
		} else {
			err = errBlock
		}
		if err != nil {
			return nil, err
		}
		if value, b, err = readText(b); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	return fields, nil
}

func readInt(b []byte, bits int) (int, []byte, error) {
	if len(b) == 0 {
		return 0, nil, errBlock
	}
	most := 1<<bits - 1
	n := int(b[0]) & most
	b = b[1:]
	if n < most {
		return n, b, nil
	}
	more, size := binary.Uvarint(b)
	if size <= 0 || more > 1<<16 {
		return 0, nil, errBlock
	}
	return n + int(more), b[size:], nil
}

func readText(b []byte) (string, []byte, error) {
	if len(b) == 0 {
		return "", nil, errBlock
	}
	huffman := b[0]&0x80 != 0
	n, b, err := readInt(b, 7)
	if err != nil || n > len(b) {
		return "", nil, errBlock
	}
	if !huffman {
		return string(b[:n]), b[n:], nil
	}
	text, err := unpack(b[:n])
	return text, b[n:], err
}

// codeLengths are the lengths of the codes of RFC 7541, appendix B, less 5, as letters from a; the code is canonical, so
// they are all there is to it.
const codeLengths = "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibccccccccccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjix" +
	"prpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwv"

type bitCode struct{ length, bits int }

var huffmanCode = canonical()

func canonical() map[bitCode]byte {
	type symbol struct{ length, value int }
	var symbols []symbol
	for value, letter := range []byte(codeLengths) {
		symbols = append(symbols, symbol{int(letter-'a') + 5, value})
	}
	slices.SortStableFunc(symbols, func(a, b symbol) int { return a.length - b.length })
	codes := map[bitCode]byte{}
	next, length := 0, 0
	for _, s := range symbols {
		next <<= s.length - length
		length = s.length
		codes[bitCode{length, next}] = byte(s.value)
		next++
	}
	return codes
}

func unpack(b []byte) (string, error) {
	var text []byte
	var at bitCode
	for _, octet := range b {
		for bit := 7; bit >= 0; bit-- {
			at = bitCode{at.length + 1, at.bits<<1 | int(octet>>bit)&1}
			if value, ok := huffmanCode[at]; ok {
				text, at = append(text, value), bitCode{}
			}
		}
	}
	if at.length > 7 || at.bits != 1<<at.length-1 {
		return "", errBlock // padding is ones, and less than an octet of them
	}
	return string(text), nil
}
