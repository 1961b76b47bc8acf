// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// A panel is one part of the plot: bars on a scale of powers of ten, in groups.
type panel struct {
	title  string
	unit   func(float64) string // how a value is written
	groups []group
	budget float64 // a line across; 0: none
}

// A group is bars that are read together.
type group struct {
	label string
	bars  []bar
}

type bar struct {
	name  string
	value float64
	ours  bool
}

const (
	plotWidth = 880
	barLeft   = 300
	barWidth  = 470
	barHeight = 14
	barStep   = 18
)

// style is legible on a light page and on a dark one: the page says which it is.
const style = `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.soft { fill: #59636e }
.page { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.budget { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
.limit { fill: #cf222e }
.ours { fill: #0969da }
.theirs { fill: #a2abb6 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .soft { fill: #9198a1 }
  .page { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .budget { stroke: #ff7b72 }
  .limit { fill: #ff7b72 }
  .ours { fill: #4493f8 }
  .theirs { fill: #656c76 }
}
</style>
`

// plot draws every panel of every report, one below the other.
func plot(reports []report) []byte {
	var body strings.Builder
	y := 16
	for _, r := range reports {
		for _, p := range r.panels {
			y = p.draw(&body, r.title, y)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="What Stile takes, and what others take">`+"\n",
		plotWidth, y, plotWidth, y)
	b.WriteString(style)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", plotWidth, y)
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// draw adds the panel from y on, and gives where the next one begins.
func (p panel) draw(b *strings.Builder, title string, y int) int {
	low, high := p.span()
	if low == high {
		return y
	}
	at := func(v float64) float64 {
		return barLeft + barWidth*max(0, min(1, (math.Log10(max(v, math.Pow10(low)))-float64(low))/float64(high-low)))
	}
	fmt.Fprintf(b, `<text class="title" x="16" y="%d">%s: %s</text>`+"\n", y+14, html.EscapeString(title), html.EscapeString(p.title))
	y += 44
	bottom := y + p.height()
	for power := low; power <= high; power++ {
		x := at(math.Pow10(power))
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="soft" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x, x, y-4, bottom, x, y-10, html.EscapeString(p.unit(math.Pow10(power))))
	}
	for _, g := range p.groups {
		fmt.Fprintf(b, `<text class="soft" x="16" y="%d">%s</text>`+"\n", y+barHeight-3, html.EscapeString(g.label))
		for _, one := range g.bars {
			class := "theirs"
			if one.ours {
				class = "ours"
			}
			fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/><text x="%.1f" y="%d">%s</text>`+"\n",
				barLeft-8, y+barHeight-3, html.EscapeString(one.name), class, barLeft, y, max(1, at(one.value)-barLeft), barHeight,
				at(one.value)+6, y+barHeight-3, html.EscapeString(p.unit(one.value)))
			y += barStep
		}
		y += barStep / 2
	}
	if p.budget > 0 {
		x := at(p.budget)
		fmt.Fprintf(b, `<line class="budget" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="limit" x="%.1f" y="%d" text-anchor="middle">budget: %s</text>`+"\n",
			x, x, bottom-p.height()-4, bottom, x, bottom+12, html.EscapeString(p.unit(p.budget)))
		y += barStep
	}
	return y + barStep
}

func (p panel) height() (h int) {
	for _, g := range p.groups {
		h += len(g.bars)*barStep + barStep/2
	}
	return h
}

// span is which powers of ten hold all that is drawn.
func (p panel) span() (low, high int) {
	least, most := math.Inf(1), math.Inf(-1)
	see := func(v float64) {
		if v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	see(p.budget)
	for _, g := range p.groups {
		for _, one := range g.bars {
			see(one.value)
		}
	}
	if math.IsInf(least, 1) {
		return 0, 0
	}
	low, high = int(math.Floor(math.Log10(least*0.999))), int(math.Ceil(math.Log10(most)))
	return low, max(high, low+1)
}
