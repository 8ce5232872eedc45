package token

import (
	"encoding/base64"
	"strings"
)

// minEncoded is the minimum number of characters of base64 that are decoded to look for a value.
const minEncoded = 20

// spellings returns what the base64 of every text that holds value contains: one spelling
// for each place of the value's first byte in a group of three, without the characters
// that its neighbors have a part in.
func spellings(value string) (s [3]string) {
	for shift := range s {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + value))
		first, end := (shift*8+5)/6, (shift+len(value))*8/6
		s[shift] = encoded[min(first, end):end]
	}
	return s
}

// prefixSpellings are those of Prefix. They have no character in which the two alphabets
// of base64 differ.
var prefixSpellings = spellings(Prefix)

// mintedLen is the length of a minted value, which none of its spellings is shorter than.
const mintedLen = len(Prefix) + randomLen + checksumLen

// mayHoldMinted is a cheap test for HoldsMinted.
func mayHoldMinted(text string) bool {
	if len(text) < mintedLen {
		return false
	}
	return strings.Contains(text, Prefix) || strings.IndexByte(text, '%') >= 0 || holdsEncodedPrefix(text)
}

func holdsEncodedPrefix(text string) bool {
	for _, s := range prefixSpellings {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// HoldsMinted reports whether text holds a whole minted value, one with a good checksum:
// anywhere, percent-encoded or not, or in one base64 decoding of a part of text.
func HoldsMinted(text string) bool {
	if !mayHoldMinted(text) {
		return false
	}
	// What looks like an escape may be none, so that both readings count.
	return holdsMinted(text) || strings.IndexByte(text, '%') >= 0 && holdsMinted(unescaped(text, unit))
}

func holdsMinted(text string) bool {
	if holdsPlain(text) {
		return true
	}
	if !holdsEncodedPrefix(text) {
		return false
	}
	found := false
	eachRun(text, minEncoded, func(start, end int) {
		for shift := 0; shift < 4 && !found; shift++ {
			found = holdsPlain(string(decodeRun(text[start:end], shift)))
		}
	})
	return found
}

// holdsPlain reports whether text holds a minted value as it is.
func holdsPlain(text string) bool {
	for {
		i := strings.Index(text, Prefix)
		if i < 0 || len(text)-i < mintedLen {
			return false
		}
		if WellFormed(Secret{text[i : i+mintedLen]}) {
			return true
		}
		text = text[i+1:]
	}
}

// unitReader reads the byte of text at i, and how long its spelling is.
type unitReader func(text string, i int) (c byte, n int)

// unitOnce reads one byte of text, plain or percent-encoded once.
func unitOnce(text string, i int) (c byte, n int) {
	if text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
		return hexValue(text[i+1])<<4 | hexValue(text[i+2]), 3
	}
	return text[i], 1
}

// unescaped decodes percent-encoded bytes. What is no escape stays.
func unescaped(text string, read unitReader) string {
	if strings.IndexByte(text, '%') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		c, n := read(text, i)
		b = append(b, c)
		i += n
	}
	return string(b)
}

// eachRun calls do with the place of each run of base64 characters, of either alphabet,
// that is at least so long.
func eachRun(text string, least int, do func(start, end int)) {
	for i := 0; i < len(text); {
		start := i
		for i < len(text) && isBase64(text[i]) {
			i++
		}
		if i-start >= least {
			do(start, i)
		}
		if i == start {
			i++
		}
	}
}

func isBase64(c byte) bool {
	return isBase62(c) || c == '+' || c == '/' || c == '-' || c == '_'
}

var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")
