"""Datasets: finding samples, splitting, checking, decoding, augmenting and loading them."""
