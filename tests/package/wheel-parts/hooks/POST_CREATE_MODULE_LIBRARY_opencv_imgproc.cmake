# Of this module a wheel has colours, sizes, filters, drawing and connected components. The rest is not compiled;
# wheel_pack.py finds out if something of it is needed one day.
get_target_property(_sources opencv_imgproc SOURCES)
list(FILTER _sources EXCLUDE REGEX
  "/src/(accum|approx|bilateral|blend|canny|clahe|contours|corner|distransform|emd|featureselect|floodfill|gabor|generalized_hough|geometry|grabcut|hough|hershey|hull|imgwarp|intelligent|intersection|linefit|lsd|main|matchcontours|median_blur|min_enclosing|moments|morph|phasecorr|pyramids|rotcalipers|segmentation|shapedescr|spatialgradient|stackblur|subdivision|undistort|utils)[a-z_0-9]*(\\.[a-z]+)*\\.cpp$")
set_property(TARGET opencv_imgproc PROPERTY SOURCES ${_sources})
