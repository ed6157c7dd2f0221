package main

/*
#cgo CFLAGS: -I${SRCDIR}/../cpp
#cgo LDFLAGS: -lonnxruntime-genai
#include <stdlib.h>
#include "genai.h"
*/
import "C"

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode"
	"unsafe"
)

const float16 = 10 // ONNX's TensorProto.DataType

// Model is a bundle's graph and tokenizer.
type Model struct {
	model     *C.OgaModel
	tokenizer *C.OgaTokenizer
	controls  []string // control tokens, spelled out
	gpt2Split bool     // how the tokenizer cuts a text into words
}

// OpenModel loads one of a bundle's graphs.
func OpenModel(directory, graph string) (*Model, error) {
	path := C.CString(directory)
	defer C.free(unsafe.Pointer(path))
	var config *C.OgaConfig
	if err := failure(C.OgaCreateConfig(path, &config)); err != nil {
		return nil, err
	}
	defer C.OgaDestroyConfig(config)
	file, err := json.Marshal(graph)
	if err != nil {
		return nil, err
	}
	overlay := C.CString(fmt.Sprintf(`{"model": {"decoder": {"filename": %s}}}`, file))
	defer C.free(unsafe.Pointer(overlay))
	if err := failure(C.OgaConfigOverlay(config, overlay)); err != nil {
		return nil, err
	}
	model := &Model{}
	if err := failure(C.OgaCreateModelFromConfig(config, &model.model)); err != nil {
		return nil, err
	}
	if err := failure(C.OgaCreateTokenizer(model.model, &model.tokenizer)); err != nil {
		model.Close()
		return nil, err
	}
	if err = model.readTokenizer(directory); err != nil {
		model.Close()
		return nil, err
	}
	return model, nil
}

// Close frees the model.
func (m *Model) Close() {
	C.OgaDestroyTokenizer(m.tokenizer)
	C.OgaDestroyModel(m.model)
}

// readTokenizer finds what Encode must know that the library doesn't say.
func (m *Model) readTokenizer(directory string) error {
	text, err := os.ReadFile(filepath.Join(directory, "tokenizer.json"))
	if err != nil {
		return err
	}
	var file struct {
		Added []struct {
			Content string
			Special bool
		} `json:"added_tokens"`
		Split json.RawMessage `json:"pre_tokenizer"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	for _, token := range file.Added {
		if token.Special && token.Content != "" {
			m.controls = append(m.controls, token.Content)
		}
	}
	var split bytes.Buffer
	err = json.Compact(&split, file.Split)
	m.gpt2Split = bytes.Contains(split.Bytes(), []byte(`"use_regex":true`))
	return err
}

// Encode gives a text's tokens; what looks like a control token is text.
func (m *Model) Encode(text string) ([]int32, error) {
	// The library takes the characters of a control token for the token. Cut within them, the tokens are those of the
	// text: no token of text spans such a border.
	cuts := []int{len(text)}
	for _, control := range m.controls {
		for from := 0; ; {
			at := strings.Index(text[from:], control)
			if at < 0 {
				break
			}
			inside := 2
			if len(control)-1 < inside {
				inside = len(control) - 1
			}
			cuts = append(cuts, from+at+inside)
			from += at + 1
		}
	}
	if m.gpt2Split {
		// The last of several spaces or line breaks belongs to what follows; the library takes them all together.
		run, last := 0, 0
		for at, r := range text {
			if isSpace(r) {
				run, last = run+1, at
				continue
			}
			if run > 1 && !unicode.IsDigit(r) {
				cuts = append(cuts, last)
			}
			run = 0
		}
	}
	sort.Ints(cuts)
	var ids []int32
	begin := 0
	for _, end := range cuts {
		if end > begin {
			piece, err := m.encodePiece(text[begin:end])
			if err != nil {
				return nil, err
			}
			ids = append(ids, piece...)
		}
		begin = end
	}
	return ids, nil
}

func (m *Model) encodePiece(text string) ([]int32, error) {
	var sequences *C.OgaSequences
	if err := failure(C.OgaCreateSequences(&sequences)); err != nil {
		return nil, err
	}
	defer C.OgaDestroySequences(sequences)
	given := C.CString(text)
	defer C.free(unsafe.Pointer(given))
	if err := failure(C.OgaTokenizerEncode(m.tokenizer, given, sequences)); err != nil {
		return nil, err
	}
	count := C.OgaSequencesGetSequenceCount(sequences, 0)
	data := (*int32)(unsafe.Pointer(C.OgaSequencesGetSequenceData(sequences, 0)))
	return append([]int32(nil), unsafe.Slice(data, int(count))...), nil
}

// Decode gives the text of tokens.
func (m *Model) Decode(ids []int32) (string, error) {
	if len(ids) == 0 {
		return "", nil
	}
	var found *C.char
	if err := failure(C.OgaTokenizerDecode(m.tokenizer, pointer(ids), C.size_t(len(ids)), &found)); err != nil {
		return "", err
	}
	defer C.OgaDestroyString(found)
	return C.GoString(found), nil
}

// Reader reads one text from the start.
type Reader struct{ generator *C.OgaGenerator }

// NewReader has room for most tokens.
func (m *Model) NewReader(most int) (*Reader, error) {
	var settings *C.OgaGeneratorParams
	if err := failure(C.OgaCreateGeneratorParams(m.model, &settings)); err != nil {
		return nil, err
	}
	defer C.OgaDestroyGeneratorParams(settings)
	name := C.CString("max_length")
	defer C.free(unsafe.Pointer(name))
	if err := failure(C.OgaGeneratorParamsSetSearchNumber(settings, name, C.double(most))); err != nil {
		return nil, err
	}
	reader := &Reader{}
	return reader, failure(C.OgaCreateGenerator(m.model, settings, &reader.generator))
}

// Close frees the reader.
func (r *Reader) Close() { C.OgaDestroyGenerator(r.generator) }

// Read gives the logits after each of the last of the next tokens.
func (r *Reader) Read(ids []int32, last int) ([][]float64, error) {
	if err := failure(C.OgaGenerator_AppendTokens(r.generator, pointer(ids), C.size_t(len(ids)))); err != nil {
		return nil, err
	}
	name := C.CString("logits")
	defer C.free(unsafe.Pointer(name))
	var tensor *C.OgaTensor
	if err := failure(C.OgaGenerator_GetOutput(r.generator, name, &tensor)); err != nil {
		return nil, err
	}
	defer C.OgaDestroyTensor(tensor)
	var kind C.int
	var shape [3]C.int64_t // (1, positions, vocabulary)
	var data unsafe.Pointer
	for _, result := range []*C.OgaResult{
		C.OgaTensorGetType(tensor, &kind),
		C.OgaTensorGetShape(tensor, &shape[0], 3),
		C.OgaTensorGetData(tensor, &data),
	} {
		if err := failure(result); err != nil {
			return nil, err
		}
	}
	positions, size := int(shape[1]), int(shape[2])
	rows := make([][]float64, last)
	for i := range rows {
		row := make([]float64, size)
		begin := (positions - last + i) * size
		if kind == float16 {
			for j, bits := range unsafe.Slice((*uint16)(data), positions*size)[begin : begin+size] {
				row[j] = half(bits)
			}
		} else {
			for j, value := range unsafe.Slice((*float32)(data), positions*size)[begin : begin+size] {
				row[j] = float64(value)
			}
		}
		rows[i] = row
	}
	return rows, nil
}

func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	value := math.Ldexp(fraction+1024, exponent-25)
	switch {
	case exponent == 31 && fraction > 0:
		value = math.NaN()
	case exponent == 31:
		value = math.Inf(1)
	case exponent == 0:
		value = math.Ldexp(fraction, -24)
	}
	if bits&0x8000 != 0 {
		return -value
	}
	return value
}

func pointer(ids []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(&ids[0])) }

func failure(result *C.OgaResult) error {
	if result == nil {
		return nil
	}
	defer C.OgaDestroyResult(result)
	return errors.New(C.GoString(C.OgaResultGetError(result)))
}
