"""Audio files: conversion to what the conference bridge plays, speech, prompts, and the folders they are kept in."""
