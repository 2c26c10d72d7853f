"""A multilingual model directory of a few kilobytes with random weights."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForSequenceClassification

from consumer.model.cleaning import CLEANING_VERSION
from tests.tiny_models import MAX_TOKENS, TAG_GROUPS


def save_multilingual_classifier(directory: Path) -> Path:
    """A classifier of four logits and our two tag groups, with XLM-RoBERTa's special tokens and kind of tokenizer."""
    letters = "\u2581" + string.ascii_letters + "äöüßéèñçабвгдеёжзийклмнопрстуфхцчшщъыьэюяあいうしらいれ素晴日本語."
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(letters), "<mask>"]
    tokenizer = Tokenizer(Unigram([(piece, -3.0) for piece in pieces], unk_id=pieces.index("<unk>")))
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=MAX_TOKENS,
    ).save_pretrained(directory)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=MAX_TOKENS + 2,  # positions count from the padding id on
        type_vocab_size=1,
        pad_token_id=1,
    )
    config.id2label = dict(enumerate(["negative", "neutral", "positive", "toxic"]))
    config.update({"tag_groups": TAG_GROUPS, "cleaning_version": CLEANING_VERSION})
    network = XLMRobertaForSequenceClassification(config)
    torch.nn.init.normal_(network.classifier.out_proj.weight, std=2.0)
    network.save_pretrained(directory)
    return directory
