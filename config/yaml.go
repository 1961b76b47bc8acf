// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// keyLimit bounds the keys that start in one column, and with them those of any mapping: the time to parse a mapping
// grows with the square of its size.
const keyLimit = 20_000

// yaml reads one YAML document of plain mappings, lists and values: no anchors, aliases, tags or merges, which a
// configuration this small has no use for and a hostile one does.
func (r *reader) yaml(name string, data []byte) *node {
	data, ok := r.readable(name, data)
	if !ok {
		return nil
	}
	// Carriage returns are part of a line's end, never of a value.
	source := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	if len(source) > wholeLimit {
		if parts, ok := inParts(source); ok {
			return r.parts(name, parts)
		}
		if len(source) > sizeLimit {
			r.problem(position{name, 1, 1}, "the file is over %d MiB, and its crossings are not a block of lines that are indented alike: write them so", sizeLimit>>20)
			return nil
		}
	}
	return yamlReader{r, name, 0}.document(source)
}

// document reads a whole document, or nil where that is none.
func (y yamlReader) document(source string) *node {
	tokens := lexer.Tokenize(source)
	if !y.plain(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are reported later, all of them
	if err != nil {
		y.malformed(err)
		return nil
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		y.problem(position{y.file, 1, 1}, "the file is empty")
		return nil
	}
	return y.node(file.Docs[0].Body, "", 0)
}

type yamlReader struct {
	*reader
	file  string
	above int // lines of the file before what is read
}

func (y yamlReader) at(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{y.file, 1, 1}
	}
	return position{y.file, y.above + max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// plain refuses, before anything is built from it, what the parser would take too long over and what is not wanted.
func (y yamlReader) plain(tokens token.Tokens) bool {
	depth, entries, line, content := 0, 0, 0, false
	columns := make(map[int]int)
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		reason := unwanted[t.Type]
		switch t.Type {
		case token.DocumentHeaderType:
			if content {
				reason = "a second document begins: keep one in a file"
			}
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			entries++
		case token.MappingValueType:
			if depth == 0 && t.Prev != nil {
				columns[t.Prev.Position.Column]++
				if columns[t.Prev.Position.Column] > keyLimit {
					reason = "too many keys: split the file"
				}
			}
		}
		if depth > depthLimit || entries > depthLimit {
			reason = "nested too deep"
		}
		if reason != "" {
			y.problem(y.at(t), "%s", reason)
			return false
		}
		content = content || t.Type != token.CommentType
	}
	return true
}

// unwanted is the part of YAML that is refused wherever it stands.
var unwanted = map[token.Type]string{
	token.AnchorType:     "anchors, aliases and merges are not read here: write the value out",
	token.AliasType:      "anchors, aliases and merges are not read here: write the value out",
	token.MergeKeyType:   "anchors, aliases and merges are not read here: write the value out",
	token.TagType:        "tags and directives are not read here: remove it",
	token.DirectiveType:  "tags and directives are not read here: remove it",
	token.MappingKeyType: `"?" keys are not read here: write "key: value"`,
}

// malformed says where YAML breaks off, and why as far as that can be said without the parser's own words, some of
// which quote the source.
func (y yamlReader) malformed(err error) {
	var syntax interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &syntax) {
		y.problem(position{y.file, 1, 1}, "not valid YAML")
		return
	}
	message := syntax.GetMessage()
	why := "not valid YAML here: look at the indentation, the colons and the quotes of this line and the one before"
	for _, known := range []struct{ sign, why string }{
		{"'\t'", "a tab: indent with spaces"},
		{"quoted text", "a quotation mark opens here and nothing closes it"},
		{"']' not found", `"[" opens here and nothing closes it`},
		{"end token '}'", `"{" opens here and nothing closes it`},
		{"reserved character", "this character cannot begin a value: put the value in quotes"},
		{"mapping value is not allowed", `a second ": " on one line, or a wrong indentation: put the value in quotes`},
	} {
		if strings.Contains(message, known.sign) {
			why = known.why
			break
		}
	}
	y.problem(y.at(syntax.GetToken()), "%s", why)
}

func (y yamlReader) node(n ast.Node, key string, depth int) *node {
	out := &node{at: y.at(n.GetToken()), key: key}
	if depth > depthLimit {
		y.problem(out.at, "nested too deep")
		return out
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.text = truth, "false"
		if n.Value {
			out.text = "true"
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = number, n.GetToken().Value
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = text, n.Value.Value
	case *ast.SequenceNode:
		out.kind = list
		for _, item := range n.Values {
			out.items = append(out.items, y.node(item, key, depth+1))
		}
	case *ast.MappingNode:
		y.fields(out, n.IsFlowStyle, n.Values, depth)
	case *ast.MappingValueNode: // one pair inside a flow list
		y.fields(out, n.IsFlowStyle, []*ast.MappingValueNode{n}, depth)
	default:
		y.problem(out.at, "not read here: write a plain value")
	}
	return out
}

func (y yamlReader) fields(out *node, flow bool, values []*ast.MappingValueNode, depth int) {
	out.kind = mapping
	for _, v := range values {
		at := y.at(v.Key.GetToken())
		if len(out.fields) == 0 && !flow {
			out.at = at // a block mapping begins at its first key, not at the colon behind it
		}
		key := v.Key.GetToken().Value
		out.fields = append(out.fields, field{key, at, y.node(v.Value, key, depth+1)})
	}
}
