# load.gnuplot CSV SVG - draws what tests/load.sh has seen: memory above, files below.
set terminal svg size 900,720 dynamic font "sans,13" background "#ffffff"
set output ARG2
set datafile separator ","
set multiplot layout 2,1
set xlabel "seconds"
set ylabel "MiB"
set yrange [0:*]
set key bottom right
set grid ytics lc "#dddddd"
set title "anonymous memory"
plot ARG1 using 1:2 skip 1 with lines lw 2 title "all six processes", \
     ARG1 using 1:3 skip 1 with lines lw 2 title "the largest", \
     ARG1 using 1:4 skip 1 with lines lw 2 title "the largest cache in use"
set title "files"
plot ARG1 using 1:5 skip 1 with lines lw 2 title "data.mdb, length", \
     ARG1 using 1:6 skip 1 with lines lw 2 title "data.mdb, on the disk", \
     ARG1 using 1:7 skip 1 with lines lw 2 title "journal.ring", \
     ARG1 using 1:8 skip 1 with lines lw 1 dt 2 title "journal.log"
unset multiplot
