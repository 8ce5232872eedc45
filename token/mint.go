// Package token has the values of API tokens: how they are minted, recognized and hashed, and the type that keeps them
// out of output. It imports no other package of patgate.
package token

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

const (
	// Prefix begins every value that patgate mints, so that secret scanners
	// find it and the audit can mask it.
	Prefix = "patg_"

	// alphabet is base62 in the order of its bytes, digits first.
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	randomLen   = 30 // base62 characters: 178 bits
	checksumLen = 6  // base62 characters: enough for CRC-32
)

// Mint makes a new value: `patg_`, 30 random base62 characters from the system's
// cryptographic source, and 6 base62 characters of the CRC-32 (IEEE) of those 30.
func Mint() Secret {
	random := make([]byte, 0, randomLen)
	var block [64]byte
	for len(random) < randomLen {
		_, _ = rand.Read(block[:]) // never fails: crypto/rand ends the program instead
		for _, b := range block {
			// 62 of 64 values are used, the others drawn again, so that each
			// character is equally likely.
			if i := b & 63; int(i) < len(alphabet) && len(random) < randomLen {
				random = append(random, alphabet[i])
			}
		}
	}
	return Secret{Prefix + string(random) + checksum(string(random))}
}

// HasPrefix reports whether a value has the prefix of patgate tokens.
func HasPrefix(s Secret) bool { return strings.HasPrefix(s.value, Prefix) }

// WellFormed reports whether a value can be a token at all: one that claims to be
// minted by patgate needs the right length, characters and checksum, so that a
// mistyped one is refused without a look-up. Values from elsewhere pass.
func WellFormed(s Secret) bool {
	rest, ours := strings.CutPrefix(s.value, Prefix)
	if !ours {
		return s.value != ""
	}
	if len(rest) != randomLen+checksumLen {
		return false
	}
	for i := range len(rest) {
		if !isBase62(rest[i]) {
			return false
		}
	}
	return checksum(rest[:randomLen]) == rest[randomLen:]
}

func isBase62(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// checksum writes the CRC-32 of text as base62, most significant digit first.
func checksum(text string) string {
	var digits [checksumLen]byte
	sum := crc32.ChecksumIEEE([]byte(text))
	for i := checksumLen - 1; i >= 0; i-- {
		digits[i] = alphabet[sum%uint32(len(alphabet))]
		sum /= uint32(len(alphabet))
	}
	return string(digits[:])
}

// unit reads one byte of text, plain or percent-encoded any number of times, and how
// long its spelling is.
func unit(text string, i int) (c byte, n int) {
	if text[i] != '%' {
		return text[i], 1
	}
	at := i + 1
	for strings.HasPrefix(text[at:], "25") && at+3 < len(text) && isHex(text[at+2]) && isHex(text[at+3]) {
		at += 2
	}
	if at+1 < len(text) && isHex(text[at]) && isHex(text[at+1]) {
		return hexValue(text[at])<<4 | hexValue(text[at+1]), at + 2 - i
	}
	return '%', 1
}

func isHex(c byte) bool { return hexValue(c) < 16 }

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
