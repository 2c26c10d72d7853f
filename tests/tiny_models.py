"""Model directories of a few kilobytes with random weights: real in every respect but their opinions."""

import string
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from consumer.model.cleaning import CLEANING_VERSION

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MAX_TOKENS = 24

TAG_GROUPS = {
    "sentiment": {"labels": ["negative", "neutral", "positive"], "activation": "softmax"},
    "toxicity": {"labels": ["toxic"], "complement": "clean", "activation": "sigmoid"},
}


MOOD = {"mood": {"labels": ["calm", "angry"], "activation": "softmax"}}


def save_classifier(directory: Path, **config: Any) -> Path:
    """A BERT classifier; without settings of its own it has four logits and our two tag groups."""
    config = config or {
        "id2label": dict(enumerate(["negative", "neutral", "positive", "toxic"])),
        "tag_groups": TAG_GROUPS,
        "cleaning_version": CLEANING_VERSION,
    }
    torch.manual_seed(0)
    network = BertForSequenceClassification(_config(**config))
    # Larger than a fresh head's, so that different texts get visibly different scores.
    torch.nn.init.normal_(network.classifier.weight, std=2.0)
    network.save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def save_tagger(directory: Path, groups: dict[str, Any], *, cased: bool = False, **config: Any) -> Path:
    """A model with these tag groups; a cased one tells letter cases apart."""
    labels = [label for group in groups.values() for label in group["labels"]]
    save_classifier(directory, id2label=dict(enumerate(labels)), tag_groups=groups, **config)
    if cased:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.normalizer = BertNormalizer(lowercase=False)
        tokenizer.save(str(directory / "tokenizer.json"))
    return directory


def save_encoder(directory: Path) -> Path:
    """A BERT without a classification head, as it comes from pre-training."""
    torch.manual_seed(0)
    BertModel(_config()).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def save_lora(path: Path, base: Path) -> Path:
    """An adapter on the classifier `base`."""
    torch.manual_seed(0)
    targets = ["value", "dense"]
    config = LoraConfig(task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False)
    get_peft_model(BertForSequenceClassification.from_pretrained(base), config).save_pretrained(str(path))
    return path


def save_tokenizer(directory: Path) -> None:
    tokenizer = Tokenizer(WordPiece(_vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", SPECIAL.index("[CLS]")), ("[SEP]", SPECIAL.index("[SEP]"))]
    )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MAX_TOKENS,
    )
    fast.save_pretrained(directory)


def _vocabulary() -> dict[str, int]:
    pieces = [
        *SPECIAL,
        *string.ascii_lowercase,
        *(f"##{letter}" for letter in string.ascii_lowercase),
        *"0123456789.!?@,'",
    ]
    return {piece: index for index, piece in enumerate(pieces)}


def _config(**config: Any) -> BertConfig:
    return BertConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=MAX_TOKENS,
        **config,
    )
