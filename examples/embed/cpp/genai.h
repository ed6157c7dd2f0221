// The functions of onnxruntime-genai's C interface that the programs in C++ and Go use. Whoever has ort_genai_c.h, which
// comes with its releases but not with the Python package, can include that instead.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
typedef struct OgaResult OgaResult;
typedef struct OgaConfig OgaConfig;
typedef struct OgaModel OgaModel;
typedef struct OgaTokenizer OgaTokenizer;
typedef struct OgaSequences OgaSequences;
typedef struct OgaGeneratorParams OgaGeneratorParams;
typedef struct OgaGenerator OgaGenerator;
typedef struct OgaTensor OgaTensor;

const char* OgaResultGetError(const OgaResult*);
void OgaDestroyResult(OgaResult*);
OgaResult* OgaCreateConfig(const char* directory, OgaConfig**);
OgaResult* OgaConfigOverlay(OgaConfig*, const char* json);
void OgaDestroyConfig(OgaConfig*);
OgaResult* OgaCreateModelFromConfig(const OgaConfig*, OgaModel**);
void OgaDestroyModel(OgaModel*);
OgaResult* OgaCreateTokenizer(const OgaModel*, OgaTokenizer**);
void OgaDestroyTokenizer(OgaTokenizer*);
OgaResult* OgaCreateSequences(OgaSequences**);
void OgaDestroySequences(OgaSequences*);
OgaResult* OgaTokenizerEncode(const OgaTokenizer*, const char* text, OgaSequences*);
size_t OgaSequencesGetSequenceCount(const OgaSequences*, size_t sequence);
const int32_t* OgaSequencesGetSequenceData(const OgaSequences*, size_t sequence);
OgaResult* OgaTokenizerDecode(const OgaTokenizer*, const int32_t* ids, size_t count, const char** text);
void OgaDestroyString(const char*);
OgaResult* OgaCreateGeneratorParams(const OgaModel*, OgaGeneratorParams**);
OgaResult* OgaGeneratorParamsSetSearchNumber(OgaGeneratorParams*, const char* name, double value);
void OgaDestroyGeneratorParams(OgaGeneratorParams*);
OgaResult* OgaCreateGenerator(const OgaModel*, const OgaGeneratorParams*, OgaGenerator**);
OgaResult* OgaGenerator_AppendTokens(OgaGenerator*, const int32_t* ids, size_t count);
OgaResult* OgaGenerator_GetOutput(const OgaGenerator*, const char* name, OgaTensor**);
void OgaDestroyGenerator(OgaGenerator*);
OgaResult* OgaTensorGetType(OgaTensor*, int* type);
OgaResult* OgaTensorGetShapeRank(OgaTensor*, size_t* rank);
OgaResult* OgaTensorGetShape(OgaTensor*, int64_t* shape, size_t rank);
OgaResult* OgaTensorGetData(OgaTensor*, void** data);
void OgaDestroyTensor(OgaTensor*);
#ifdef __cplusplus
}
#endif
