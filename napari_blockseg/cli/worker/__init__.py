"""The worker: a process that trains, predicts and analyses for the GUI, JSON lines in and out.

Protocol, version 1. Requests carry an ``id`` (a number), answers repeat it; ``"id": null`` marks a
notice that answers nothing. The first request must be ``hello``.

=============================================  ====================================================
request                                        answers
=============================================  ====================================================
``hello`` protocol                             ``hello`` protocol, version, pid, devices
``train`` project, run, network, train,        `core.reports`, ending with ``train_done``
resume
``features`` project, image_id, slice,         ``features_done`` with ``tiles``, how many of them
region, network, train                         were ``computed``, and ``seconds``
``interactive`` project, run, image_id,        ``train_started``, then without end
slice, region, network, train, full            ``interactive_preview`` with ``path``, ``source``
                                               ("interactive" or "network") and ``seconds``;
                                               ``train_step``, ``validation``, ``notice`` of the
                                               network behind; ``train_done`` when stopped
``view`` image_id, slice, region               ``state``; the interactive session previews this
                                               from now on
``pause``, ``resume``, ``stop``                ``state``: "training", "paused" or "idle"
``predict`` project, image_id, model, slice,   ``predict_progress`` ..., ``predict_done`` with
region, out, uncertainty                       ``path`` and ``uncertainty``, relative to the project
``analyse`` project, model, max_images,         ``analysis_progress`` ..., ``analysis_done`` with
layers                                         ``path``, relative to the project
``suggest`` project, model, count, method      ``predict_progress`` ..., ``suggest_done`` with the
                                               blocks to label next
``cancel`` of                                  ``state``; the request itself ends with an ``error``
                                               of kind "Cancelled"
``shutdown``                                   ``bye``
any                                            ``error`` message, kind
=============================================  ====================================================
"""
