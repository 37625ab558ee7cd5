"""What ComfyUI shows of the pack beside its nodes: workflows with pictures, help pages, translations.

python -m tools.templates                 writes the workflows, the help pages' lists and the English texts
python -m tools.templates --thumbnails    and runs every workflow for its picture, and for those of the help pages
"""
