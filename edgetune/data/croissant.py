"""Croissant 1.0 metadata of a dataset (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from collections.abc import Mapping, Sequence
from typing import Any

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
FORMATS = {".csv": "text/csv", ".jsonl": "application/jsonlines", ".ndjson": "application/jsonlines"}
PICTURES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".bmp": "image/bmp",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}


def croissant(
    name: str,
    description: str,
    licence: str,
    tables: Mapping[str, tuple[str, Mapping[str, str]]],
    endings: Sequence[str] = (),
) -> dict[str, Any]:
    """The metadata as plain JSON-LD.

    Args:
        tables: {file name: (sha256, {field: its column or key in the file})}, each a record set.
        endings: file name endings of the pictures, as they are; empty for texts.
    """
    distribution: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": file,
            "name": file,
            "contentUrl": file,
            "encodingFormat": FORMATS[_ending(file)],
            "sha256": digest,
        }
        for file, (digest, _) in tables.items()
    ]
    if endings:
        distribution.append(
            {
                "@type": "cr:FileSet",
                "@id": "pictures",
                "name": "pictures",
                "encodingFormat": sorted({PICTURES[ending.lower()] for ending in endings}),
                "includes": [f"**/*{ending}" for ending in endings],
            }
        )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence,
        "distribution": distribution,
        "recordSet": [_records(file, columns) for file, (_, columns) in tables.items()],
    }


def _records(file: str, columns: Mapping[str, str]) -> dict[str, Any]:
    name = file.rpartition(".")[0]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{field}",
            "name": field,
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
        }
        for field, column in columns.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


def _ending(file: str) -> str:
    return "." + file.rpartition(".")[2].lower()
